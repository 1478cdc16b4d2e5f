"""Ctrl-C as the firmware feels it: KeyboardInterrupt at a point where it waits.

The interpreter's own interrupt strikes between any two instructions, inside an allocation as well, which leaves the
heap locked for good. So the supervisor takes the character off the line and sends the command `interrupt`, which is
obeyed where the firmware waits. Code that never waits gets the interpreter's own, after a while.
"""

from virtual import channel

pending = False

_on = False


def start():
    channel.on("interrupt", _interrupt)


def switch(on):
    """Let Ctrl-C interrupt, or make it a plain byte. Tells the supervisor, without allocating."""
    global pending, _on
    pending = pending and on
    _on = on
    channel.write(b'{"event":"ctrl_c","on":true}\n' if on else b'{"event":"ctrl_c","on":false}\n')


def _interrupt(command):
    global pending
    pending = _on
    # Switched off while the command was under way: the character is input like any other.
    channel.send({"event": "interrupt_taken", "as_byte": not _on})


def strike():
    """Raise the interrupt that is pending."""
    global pending
    pending = False
    raise KeyboardInterrupt
