"""What importing each of the device's modules leaves on the heap: module_memory.py FOLDER NAMES.

FOLDER: the device's compiled modules; NAMES: a file with their names, a line each, packages before what they hold.
Prints "name bytes", a line a module, and last "names bytes": identifiers, which all modules share and which stay for
good. A module's bytes are its own: what it imports counts for that, once; what it imports and drops, for itself.
Machine code is not among them: it lies outside of the heap, here as on the ESP32. What only the chip has, and aioble,
are replaced by nothing; the board is BOARD.
"""

import builtins
import gc
import os
import sys

ABSENT = (
    "machine",
    "esp32",
    "network",
    "bluetooth",
    "aioble",
    "aioble.core",
    "aioble.security",
    "umqtt.simple",
)
BOARD = "QT Py ESP32-S3"


class Nothing:
    """Stands for a module that is not here and for all that is in it."""

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **named):
        return self


class System:
    """The module os of the board."""

    machine = BOARD

    def uname(self):
        return self

    def __getattr__(self, name):
        return getattr(os, name)


folder, names = sys.argv[1:]
sys.path[:] = [folder, ".frozen"]
with open(names) as stream:
    names = stream.read().split()
for name in ABSENT:
    sys.modules[name] = Nothing()
sys.modules["os"] = System()
find = builtins.__import__
# Of each import that is under way, what those within it took.
nested = [0]
costs = {}


def used():
    gc.collect()
    return gc.mem_alloc()


def import_and_weigh(name, *rest):
    if name in sys.modules or (len(rest) > 3 and rest[3]):
        return find(name, *rest)
    nested.append(0)
    before = used()
    module = find(name, *rest)
    total = used() - before
    within = nested.pop()
    if name in costs:
        costs[name] += total - within
        within = total
    nested[-1] += within
    return module


first = used()
for name in names:
    __import__(name)
# Again: now the identifiers are there, and each module takes only what is its own.
for name in names:
    sys.modules.pop(name, None)
module = None
for name in names:
    costs[name] = 0
builtins.__import__ = import_and_weigh
for name in names:
    __import__(name)
total = 0
for name in names:
    print(name, costs[name])
    total += costs[name]
print("names", used() - first - total)
