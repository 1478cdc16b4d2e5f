"""The learned model that a device may hold: a file that `retrostep model install` put there.

The file is MicroPython source whose last line is a comment, "# crc32 " and eight hexadecimal digits: the CRC-32 of
all bytes before that line. So a file that was cut short or damaged is never run.
"""

import sys
from binascii import crc32

PATH = "/model.py"
_MARK = b"# crc32 "
_TAIL = len(_MARK) + 9


def load(path=PATH):
    """The Model in the file, or None, with the reason printed, where it can't be used. Physics goes on alone."""
    try:
        return read(path)
    except Exception as reason:
        # A model is optional, whatever is wrong with it.
        print("model: %s is not used: %s" % (path, reason or type(reason).__name__))
        print("model: physics decides alone; install a model anew, or remove it: retrostep model remove")
        return None


def read(path=PATH):
    """The Model in the file. A file that can't be used raises ValueError or OSError, or whatever its code raises."""
    _check(path)
    from firmware.gait.learned import Model

    return Model(_module(path))


def _check(path):
    """Raises ValueError or OSError unless the file is as it was written."""
    seen = 0
    tail = b""
    with open(path, "rb") as stream:
        while True:
            part = stream.read(256)
            if not part:
                break
            tail += part
            seen = crc32(tail[:-_TAIL], seen)
            tail = tail[-_TAIL:]
    if tail[: len(_MARK)] != _MARK:
        raise ValueError("it does not end with its checksum, so a part of it is missing")
    expected = tail[len(_MARK) : -1]
    if ("%08x" % seen).encode() != expected:
        raise ValueError("it is damaged: its checksum is %08x, expected %s" % (seen, expected.decode()))


def _module(path):
    folder, _, file = path.rpartition("/")
    name = file[: -len(".py")]
    sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    try:
        return __import__(name)
    finally:
        sys.path.pop(0)
