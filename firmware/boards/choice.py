"""Which board this is: finds and loads the profile. Needed once, at start.

/board.txt on the device names the profile (the file's name without .py). Without that file MicroPython's own name for
the board decides, where it has one; a build for any ESP32 tells only the chip, and gets the profile that is built
most often on it.
"""

import os

CHOICE_FILE = "/board.txt"
# Part of os.uname().machine, and the profile: the first that fits.
_KNOWN = (
    ("XIAO ESP32S3", "xiao_esp32s3"),
    ("QT Py ESP32-S3", "qtpy_esp32s3"),
    ("ESP32S3", "xiao_esp32s3"),
    ("ESP32", "esp32_gy521"),
)


class BoardUnknown(Exception):
    """board.txt names a profile that is not there, or nothing tells which board this is."""


def _chosen():
    """The profile's name, and what named it."""
    try:
        with open(CHOICE_FILE) as file:
            name = file.read().strip()
        if name:
            return name, CHOICE_FILE
    except OSError:
        # Nobody has chosen.
        pass
    described = os.uname().machine
    for part, name in _KNOWN:
        if part in described:
            return name, described
    raise BoardUnknown(
        "no profile for %r: put the name of a file in firmware/boards into %s" % (described, CHOICE_FILE)
    )


def load():
    """The profile's module. Raises BoardUnknown."""
    name, source = _chosen()
    try:
        return __import__("firmware.boards." + name, None, None, ("NAME",))
    except ImportError:
        raise BoardUnknown(
            "%s names %r: expected a file of that name in firmware/boards; correct or remove %s"
            % (source, name, CHOICE_FILE)
        )
