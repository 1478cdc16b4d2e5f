"""Double of the module `os`: the interpreter's own, but uname() tells of the board in the wiring."""

from collections import namedtuple

from uos import *  # noqa: F403
from virtual import board

_Uname = namedtuple("uname_result", ("sysname", "nodename", "release", "version", "machine"))
_SYSNAME = "esp32"
_RELEASE = "1.29.0"


def uname():
    """As MicroPython's esp32 port: `machine` is "<board> with <chip>"."""
    return _Uname(_SYSNAME, _SYSNAME, _RELEASE, "v" + _RELEASE + " on virtual board", board.machine_name)
