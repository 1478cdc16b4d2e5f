"""The application that runs on the device."""

import sys

VERSION = "0.1.0"


def unload(path):
    """Forget a module, which goes when nobody uses it any more; False: it was not loaded."""
    if not sys.modules.pop(path, None):
        return False
    package, _, last = path.rpartition(".")
    if package in sys.modules:
        # CPython has a module's name in its package once, even if it was loaded twice.
        sys.modules[package].__dict__.pop(last, None)
    return True


def load_seldom(name):
    """A module of this package that is seldom needed: loaded for that, and not kept. Raises MemoryError."""
    path = "firmware." + name
    module = __import__(path, None, None, (path.rsplit(".", 1)[1],))
    unload(path)
    return module
