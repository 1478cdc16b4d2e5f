"""Exports: the steps of one or more databases in formats that others read. docs/data.md is the user's page.

    steps of the log  ->  selection.py (which, whose)  ->  levels.py (rows)  ->  one module a format

Levels: `steps` (one row a step), `intervals` (a run of steps in one direction, with start and end in UTC), `days`
(the wearer's calendar days). Everything streams: memory does not grow with the number of steps (at level `days`: with
the number of days). A step whose boot has no anchor has no time. The tables carry it, marked; the health formats,
which need a time, leave it out and count it.
"""
