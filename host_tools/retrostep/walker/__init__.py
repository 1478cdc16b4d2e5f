"""Gait simulator: virtual recordings of a sensor at the waist or on a shoe, with exact truth.

A walk is described step by step (`Walk`), the body's motion follows from mechanics (body.py, shoe.py), and the
sensor's words from the motion (sensor.py). All of it is synthetic: it shows that software works, not how well it
counts on people. docs/walker.md gives the equations and the limits.
"""

from retrostep.walker.person import Person
from retrostep.walker.walk import Walk, WalkError, demo_walk

__all__ = ["Person", "Walk", "WalkError", "demo_walk"]
