"""Runs code on a board through its raw REPL, the way mpremote does, over any link with read_until and write."""

from retrostep.board.errors import BoardError
from retrostep.board.serial_port import SerialLink

CTRL_A, CTRL_B, CTRL_C, CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
PROMPT = b"raw REPL; CTRL-B to exit\r\n>"


class DeviceError(BoardError):
    """The code raised on the device; the message is the device's traceback."""


def enter(link: SerialLink, timeout_s: float = 5.0) -> None:
    """Interrupt whatever runs and enter the raw REPL."""
    link.read()
    link.write(b"\r" + CTRL_C)
    link.read_until(b">>> ", timeout_s)
    link.write(CTRL_A)
    link.read_until(PROMPT, timeout_s)


def execute(link: SerialLink, code: str, timeout_s: float = 20.0) -> str:
    """Run `code` in the raw REPL entered before; returns what it printed. Raises DeviceError."""
    link.write(code.encode() + CTRL_D)
    link.read_until(b"OK", timeout_s)
    printed = link.read_until(CTRL_D, timeout_s)[:-1]
    error = link.read_until(CTRL_D + b">", timeout_s)[:-2]
    if error:
        raise DeviceError(error.decode(errors="replace"))
    return printed.decode(errors="replace").replace("\r\n", "\n")
