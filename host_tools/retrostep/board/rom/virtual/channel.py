"""Control channel between the board and its supervisor: one JSON object a line, each way.

Commands come in (`{"do": "press", ...}`) and go to the handler registered under their name; events go out
(`{"event": "pin", "us": ..., ...}`). The channel uses inherited file descriptors, so it keeps working after the
host's file system has been unmounted.
"""

import io
import json

import micropython

# Longer than any event: a notification of 244 bytes in hex with what is around it.
_LINE_BYTES = 1024
# Longer than the state in which a life ends, full FIFOs and all.
_LAST_LINE_BYTES = 32768

_in = None
_out = None
_handlers = {}


class _Line(io.IOBase):
    """Collects the text of one event in room that was taken while the heap was empty: the firmware's heap may be in
    pieces too small for it."""

    def __init__(self, size):
        self._room = bytearray(size)
        self._view = memoryview(self._room)
        self._at = 0

    def write(self, piece):
        end = self._at + len(piece)
        if end > len(self._room):
            self._room = bytearray(2 * end)
            self._room[: self._at] = self._view[: self._at]
            self._view = memoryview(self._room)
        self._room[self._at : end] = piece
        self._at = end
        return len(piece)

    def take(self):
        """What was written since the last time."""
        line, self._at = self._view[: self._at], 0
        return line


_line = _Line(_LINE_BYTES)
_last_line = None


def open_channel(fd_in, fd_out):
    """Take over the two inherited descriptors."""
    global _in, _out
    _in = open(fd_in, "rb")
    _out = open(fd_out, "wb")


def stream():
    """The stream that becomes readable when a command waits; for poll()."""
    return _in


def on(name, handler):
    """Call handler(command_dict) whenever the command `name` arrives."""
    _handlers[name] = handler


def dispatch():
    """Read one waiting command and obey it. An unknown one is an error of the supervisor: report it."""
    line = _in.readline()
    if not line:
        halt()
    command = json.loads(line)
    # Confirmed first: a command may end this life, and must not be repeated to the next one.
    send({"event": "obeyed", "n": command["n"]})
    obey(command)


def obey(command):
    """Carry out one command, from the supervisor or from the script."""
    handler = _handlers.get(command["do"])
    if handler is None:
        send({"event": "error", "text": "unknown command %s" % command["do"]})
    else:
        handler(command)


def send(message):
    """Write one event; a single write, so that an interrupt cannot split it."""
    _line.take()
    json.dump(message, _line)
    _line.write(b"\n")
    _out.write(_line.take())


def reserve_last_line():
    """Take the room for send_last() while there is some."""
    global _last_line
    _last_line = _Line(_LAST_LINE_BYTES)


def send_last(message):
    """Write the long event with which a life ends, however scattered the firmware has left the heap."""
    global _line
    _line = _last_line
    send(message)


def write(line):
    """Write one event that is a line already."""
    _out.write(line)


@micropython.native
def halt():
    """Stop dead: no Python of the firmware runs any more, nothing is finalised. The supervisor kills us."""
    while True:
        try:
            if not _in.read(1):
                # The supervisor is gone: nobody is left to kill us.
                import sys

                sys.exit(3)
        except KeyboardInterrupt:
            pass
