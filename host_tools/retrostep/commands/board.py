"""`retrostep board`: a virtual board on this computer, with a serial port that mpremote and `sync` can open."""

import contextlib
import os
import queue
import re
import select
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from retrostep.board import BoardError, Event, VirtualBoard, flash_image
from retrostep.device_tree import use_device_code

use_device_code()

from firmware.link.framing import MARK  # noqa: E402

KEYS = "b press button   h hold it 3 s   p cut power   o power on   q quit"
PRESS_MS = 80
HOLD_MS = 3000


def register(app: typer.Typer) -> None:
    app.command(name="board")(board)


def board(
    image: Annotated[
        Path | None, typer.Option(help="Flash image; made with the device's files if it is not there.")
    ] = None,
    walk: Annotated[Path | None, typer.Option(help="Recording (.npz) that the sensor feels.")] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="A synthetic walk, forward and back.")
    ] = False,
    speed: Annotated[
        str, typer.Option(help="Times wall speed, or max. Wall speed while the port is open.")
    ] = "1",
    seed: Annotated[int, typer.Option(help="Makes the run repeatable: sensor clock, noise, id.")] = 0,
    clock_ppm: Annotated[float | None, typer.Option(help="Error of the sensor's clock in ppm.")] = None,
    link: Annotated[Path | None, typer.Option(help="Make this path a link to the serial port.")] = None,
    factory: Annotated[
        bool, typer.Option("--factory", help="Erase the image and install this version.")
    ] = False,
) -> None:
    """Run the firmware on a virtual board and show what it does."""
    if walk and synthetic:
        raise typer.BadParameter("give a recording or a synthetic walk, not both", param_hint="--walk")
    factor = _speed(speed)
    samples, rate_hz = _movement(walk, synthetic, seed)
    with tempfile.TemporaryDirectory(prefix="retrostep-") as folder:
        path = image or Path(folder) / "flash.img"
        if factory or not path.exists():
            flash_image.create(path)
        running = VirtualBoard(
            path, walk=samples, feed_rate_hz=rate_hz, speed=factor, seed=seed, clock_ppm=clock_ppm
        )
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        running.on_event(events.put)
        with running, _linked(link, running.port):
            print(f"serial port {running.port}" + (f" ({link})" if link else ""), flush=True)
            _attend(running, events)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if factor < 0:
        raise typer.BadParameter(f"{text!r}: expected a number of 0 or more, or max", param_hint="--speed")
    return factor


def _movement(walk: Path | None, synthetic: bool, seed: int) -> tuple[npt.NDArray[np.int16] | None, float]:
    """Samples and their rate in Hz."""
    if walk:
        from retrostep import recording

        loaded = recording.load(walk)
        return loaded.samples, loaded.rate_hz
    if synthetic:
        from retrostep.walker import demo_walk

        made = demo_walk(seed).recording()
        return made.samples, made.rate_hz
    return None, 104.0


@contextlib.contextmanager
def _linked(link: Path | None, port: str) -> Iterator[None]:
    """`link` points to the port while the board runs. Replaces a link, never a file."""
    if link is None:
        yield
        return
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise BoardError(f"{link} is a file, not a link: choose another path for --link")
    link.symlink_to(port)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


@contextlib.contextmanager
def _keys() -> Iterator[bool]:
    """Single key strokes from the terminal, if there is one."""
    if not sys.stdin.isatty():
        yield False
        return
    # Windows has neither module, and must still list the commands.
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class PlainOutput:
    """What a board prints, without the messages of its link: lines that begin with its mark."""

    def __init__(self) -> None:
        self._hidden = False
        self._line_begins = True

    def feed(self, text: str) -> str:
        """What of the next piece of output is to be shown; lines may be cut anywhere."""
        shown = ""
        for part in re.findall(r"[^\n]*\n|[^\n]+", text):
            if self._line_begins:
                self._hidden = part.startswith(MARK.decode())
            if not self._hidden:
                shown += part
            self._line_begins = part.endswith("\n")
        return shown


def _attend(running: VirtualBoard, events: "queue.SimpleQueue[Event]") -> None:
    """Show events and obey keys until q, Ctrl-C, or the end of the board."""
    console = running.serial()
    output = PlainOutput()
    with _keys() as has_keys, contextlib.suppress(KeyboardInterrupt):
        if has_keys:
            print(KEYS, flush=True)
        while True:
            while not events.empty():
                print(events.get(), flush=True)
            text = console.read()
            if text:
                print(output.feed(text.decode(errors="replace").replace("\r", "")), end="", flush=True)
            running.check()
            if not has_keys:
                select.select([], [], [], 0.05)
            elif select.select([sys.stdin], [], [], 0.05)[0] and _obey(
                os.read(sys.stdin.fileno(), 1), running
            ):
                return


def _obey(key: bytes, running: VirtualBoard) -> bool:
    """Do what the key asks for. True: quit."""
    if key == b"b":
        running.press(PRESS_MS)
    elif key == b"h":
        running.press(HOLD_MS)
    elif key == b"p" and running.powered:
        running.cut_power()
    elif key == b"o" and not running.powered:
        running.power_on()
    return key in (b"q", b"")
