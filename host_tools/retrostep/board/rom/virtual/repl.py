"""The board's serial console: friendly REPL, raw REPL with raw paste, soft reset, Ctrl-C.

Speaks what mpremote expects of a device (MicroPython reference, "The MicroPython Interactive Interpreter Mode,
aka REPL"). Ctrl-C interrupts while code runs, and is a plain byte while the REPL reads or micropython.kbd_intr(-1)
holds (see ctrl_c).
"""

import builtins
import gc
import io
import sys

import micropython
import uselect

from virtual import board, channel, clock, ctrl_c

_PASTE_WINDOW = 128
_COMPOUND = ("if", "while", "for", "try", "with", "def", "class", "async")

# boot.py and main.py are not over: Ctrl-C is for them, also if it comes before or between them.
_starting = True
_tty = None
_poll = None
_main = {"__name__": "__main__"}
_print = print


class _Console(io.IOBase):
    """Where print() goes: a newline becomes CR LF, as the ports' consoles do."""

    def write(self, text):
        write(bytes(text).replace(b"\n", b"\r\n"))
        return len(text)


_console = _Console()


def _print_to_console(*args, **kwargs):
    if kwargs.get("file") is None:
        kwargs["file"] = _console
    _print(*args, **kwargs)


def open_console(path):
    """Take the terminal at `path` as the serial port."""
    global _tty, _poll
    _tty = open(path, "r+b")
    _poll = uselect.poll()
    _poll.register(_tty, uselect.POLLIN)
    _poll.register(channel.stream(), uselect.POLLIN)
    builtins.print = _print_to_console
    ctrl_c.start()
    ctrl_c.switch(True)


def interrupt_character(character):
    """micropython.kbd_intr: 3 lets Ctrl-C interrupt, -1 makes it a plain byte."""
    ctrl_c.switch(character == 3)


def _execute(code):
    """Run compiled code in __main__ with Ctrl-C on; returns the exception it ended with, or None."""
    failure = None
    ctrl_c.switch(True)
    try:
        exec(code, _main)
    except BaseException as error:
        failure = error
    if not _starting:
        ctrl_c.switch(False)
    return failure


def _forget_interrupts():
    """A Ctrl-C that came too late for the code it was meant for must not hit the REPL."""
    while True:
        try:
            for _ in range(3):
                pass
            return
        except KeyboardInterrupt:
            pass


@micropython.native
def write(data):
    _tty.write(data)


def _read():
    """One byte from the serial port, as an int. Virtual time passes while it waits."""
    while True:
        if clock.wait(clock.NEVER, _poll):
            byte = _tty.read(1)
            if byte:
                return byte[0]


def run_file(path):
    """Run a file of the device in __main__, if it is there. False if it ended in an error or was interrupted."""
    try:
        with open(path) as file:
            source = file.read()
    except OSError:
        return True
    return _run(source, path, "exec")


def _run(source, name, mode):
    """Compile and run in __main__. Returns True if it ended by itself without an error."""
    failure = _compile_and_execute(source, name, mode)
    if isinstance(failure, SystemExit):
        write(b"MPY: soft reboot\r\n")
        board.leave("soft")
    if failure:
        sys.print_exception(failure, _console)
    return not failure


def _compile_and_execute(source, name, mode):
    try:
        code = compile(source, name, mode)
    except Exception as error:
        return error
    source = None
    failure = _execute(code)
    _forget_interrupts()
    return failure


def serve(mode):
    """Be a REPL for ever, starting in "friendly" or "raw" mode."""
    global _starting
    _starting = False
    ctrl_c.switch(False)
    while True:
        mode = _raw() if mode == "raw" else _friendly()


def banner():
    write(
        b"MicroPython v%d.%d.%d on the virtual board; XIAO ESP32S3 with ESP32S3\r\n"
        % tuple(sys.implementation.version[:3])
    )


def _friendly():
    banner()
    write(b'Type "help()" for more information.\r\n')
    while True:
        source = _read_statement()
        if source in ("raw", "banner"):
            if source == "raw":
                return "raw"
            return "friendly"
        if source == "reset":
            write(b"\r\nMPY: soft reboot\r\n")
            board.leave("soft", "friendly")
        if source.strip():
            _run(source, "<stdin>", "single")
            gc.collect()


def _read_statement():
    """One statement from the friendly prompt, or what a control character asks for."""
    write(b">>> ")
    lines = []
    line = bytearray()
    while True:
        byte = _read()
        if byte == 1 and not line:
            return "raw"
        if byte == 2 and not line:
            return "banner"
        if byte == 3:
            write(b"\r\n>>> ")
            lines, line = [], bytearray()
        elif byte == 4 and not line:
            return "reset"
        elif byte == 5:
            return _read_pasted()
        elif byte in (8, 127):
            if line:
                line = line[:-1]
                write(b"\b \b")
        elif byte == 13 or byte == 10:
            write(b"\r\n")
            text = line.decode()
            line = bytearray()
            lines.append(text)
            if _needs_more(lines):
                write(b"... ")
                continue
            return "\n".join(lines) + "\n"
        elif byte >= 32 or byte == 9:
            line.append(byte)
            write(bytes((byte,)))


def _needs_more(lines):
    """A compound statement goes on until an empty line; open brackets until they close."""
    text = "\n".join(lines)
    if sum([text.count(c) for c in "([{"]) > sum([text.count(c) for c in ")]}"]):
        return True
    word = lines[0].replace(":", " ").split(" ")[0]
    return lines[-1].strip() != "" and (word in _COMPOUND or word[:1] == "@")


def _read_pasted():
    write(b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ")
    text = bytearray()
    while True:
        byte = _read()
        if byte == 3:
            write(b"\r\n")
            return ""
        if byte == 4:
            write(b"\r\n")
            _run(text.decode(), "<stdin>", "exec")
            return ""
        text.append(10 if byte == 13 else byte)
        write(b"\r\n=== " if byte == 13 else bytes((byte,)))


def _raw():
    write(b"raw REPL; CTRL-B to exit\r\n>")
    source = bytearray()
    while True:
        byte = _read()
        if byte == 1:
            write(b"raw REPL; CTRL-B to exit\r\n>")
            source = bytearray()
        elif byte == 2:
            write(b"\r\n")
            return "friendly"
        elif byte == 3:
            source = bytearray()
        elif byte == 4:
            if not source:
                write(b"OK\r\nMPY: soft reboot\r\n")
                board.leave("soft", "raw")
            write(b"OK")
            _run_raw(source)
            source = bytearray()
        elif byte == 5 and not source:
            kind = _read()
            if kind != 0x41:
                write(b"R\x00")
                continue
            _read()
            _run_raw(_read_raw_paste())
        else:
            source.append(byte)


def _read_raw_paste():
    """The flow-controlled upload of raw-paste mode: 128 bytes at a time, Ctrl-D ends it."""
    write(b"R\x01" + bytes((_PASTE_WINDOW & 255, _PASTE_WINDOW >> 8)) + b"\x01")
    source = bytearray()
    taken = 0
    while True:
        byte = _read()
        if byte == 4:
            write(b"\x04")
            return source
        if byte == 3:
            write(b"\x04")
            return bytearray()
        source.append(byte)
        taken += 1
        if taken == _PASTE_WINDOW:
            taken = 0
            write(b"\x01")


def _run_raw(source):
    """Run it and end the output as the raw protocol wants: EOT, error text, EOT, prompt."""
    failure = _compile_and_execute(bytes(source), "<stdin>", "exec")
    if isinstance(failure, SystemExit):
        write(b"\x04\x04>MPY: soft reboot\r\n")
        board.leave("soft", "raw")
    write(b"\x04")
    if failure:
        sys.print_exception(failure, _console)
    write(b"\x04>")
    gc.collect()
