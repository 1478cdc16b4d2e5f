"""The application that runs on the device."""

import sys

VERSION = "0.1.0"


def load_seldom(name):
    """A module of this package that is seldom needed: loaded for that, and not kept. Raises MemoryError."""
    path = "firmware." + name
    package, last = path.rsplit(".", 1)
    module = __import__(path, None, None, (last,))
    del sys.modules[path]
    # CPython has a module's name in its package once, even if it was loaded twice.
    sys.modules[package].__dict__.pop(last, None)
    return module
