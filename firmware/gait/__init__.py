"""Gait from the motion of a clip: steps, their direction, bouts. Pure logic on integers.

Nothing here reads a clock, a bus or a file; samples come in, steps and events come out. The same sources run
on the device and, through retrostep's shim, on CPython, with equal results. Start at pipeline.py; how it works
and how well is told in docs/gait.md.
"""

# What a step may be, and its number.
DIRECTIONS = ("forward", "backward", "sideways", "unknown")
FORWARD, BACKWARD, SIDEWAYS, UNKNOWN = 0, 1, 2, 3
