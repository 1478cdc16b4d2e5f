"""Control channel between the board and its supervisor: one JSON object a line, each way.

Commands come in (`{"do": "press", ...}`) and go to the handler registered under their name; events go out
(`{"event": "pin", "us": ..., ...}`). The channel uses inherited file descriptors, so it keeps working after the
host's file system has been unmounted.
"""

import json

import micropython

_in = None
_out = None
_handlers = {}


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
    _out.write(json.dumps(message) + "\n")


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
