"""The main job in one go, with no hardware: walk, count, feel, sync, report.

The real firmware runs on the virtual board, fed with a walk; its steps come in over its own link as it settles them,
its motor is watched at the PWM pin. Then the button is held, a virtual laptop pairs and pulls the log by Bluetooth,
with the same code that `retrostep sync --radio` uses on a device, and the day's table is printed. Where the virtual
radio can't run (it needs Python 3.11), the log comes through the board's serial port.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from retrostep.board import Event, VirtualBoard, flash_image
from retrostep.cable import LineAssembler
from retrostep.commands.connection import over_cable
from retrostep.commands.device import sync_with_bar
from retrostep.commands.radio import over_radio
from retrostep.device_tree import use_device_code
from retrostep.flash import installed_files
from retrostep.history import read_history
from retrostep.link import Link, LiveCue, LiveStep
from retrostep.periods import days
from retrostep.radio import Backend
from retrostep.recording import Recording
from retrostep.report.terminal import DIRECTION_STYLES, day_table
from retrostep.store import Store
from retrostep.stretches import stretches_of
from retrostep.sync import SyncResult

if TYPE_CHECKING:
    from retrostep.board.radio import BoardRadio

use_device_code()

from firmware.gait.mounting import Mounting  # noqa: E402
from firmware.link import protocol  # noqa: E402
from firmware.link.framing import encode_line  # noqa: E402

SPEED = 6.0
FRAME_S = 0.05
START_S = 0.2
# The device stops telling steps a minute after it was last asked to.
LIVE_RENEWAL_S = 20.0
# The settled step comes up to 1.5 s after the contact, and the last bout closes after that.
TAIL_S = 4.0
HOLD_MS = 3500
WINDOW_OPENS_S = 5.0
# What a phone or laptop usually grants.
PACKETS_PER_INTERVAL = 4
_RECENT_STEPS = 24
_ARROWS = {"forward": "▲", "backward": "▼", "sideways": "◆", "unknown": "·"}


class BoardSerial:
    """Transport over the board's serial port from inside this process, so that the board keeps its speed."""

    name = "the virtual board"
    advice = "run the demo again"

    def __init__(self, board: VirtualBoard) -> None:
        self._serial = board.serial()
        self._lines = LineAssembler()
        self._messages: list[bytes] = []

    async def send(self, message: bytes) -> None:
        """Send one message."""
        self._serial.write(encode_line(message))

    async def receive(self) -> bytes:
        """The next message."""
        while not self._messages:
            self._messages += self._lines.feed(self._serial.read())
            if not self._messages:
                await asyncio.sleep(0.01)
        return self._messages.pop(0)


@dataclass
class View:
    """What the terminal shows while the walk goes on."""

    title: str
    duration_s: float
    counts: Counter[str] = field(default_factory=Counter)
    recent: list[LiveStep] = field(default_factory=list)
    time_s: float = 0.0
    motor_percent: int = 0
    buzzes: list[float] = field(default_factory=list)

    def on_live(self, step: LiveStep | LiveCue) -> None:
        """A settled step came over the link. (Cues are seen at the motor.)"""
        if isinstance(step, LiveCue):
            return
        self.counts[step.direction] += 1
        self.recent = [*self.recent, step][-_RECENT_STEPS:]

    def on_event(self, event: Event) -> None:
        """Something happened at the board's pins."""
        if event.kind == "pwm" and event.data["name"] == "motor":
            percent = round(100 * event.data["duty_u16"] / 65535)
            if percent and not self.motor_percent:
                self.buzzes.append(event.us / 1e6)
            self.motor_percent = percent

    def __rich__(self) -> Panel:
        numbers = Table.grid(padding=(0, 3))
        cells: list[Text] = []
        for direction, style in DIRECTION_STYLES.items():
            cells.append(Text(f"{_ARROWS[direction]} {direction} {self.counts[direction]}", style))
        numbers.add_row(*cells)
        steps = Text("last steps  ")
        for step in self.recent:
            steps.append(_ARROWS[step.direction], DIRECTION_STYLES[step.direction])
        motor = Text("motor       ")
        motor.append("█" * (self.motor_percent // 10) or "─", "bold yellow" if self.motor_percent else "dim")
        if self.buzzes:
            motor.append("   buzzed at " + ", ".join(f"{at:.1f} s" for at in self.buzzes[-4:]), "dim")
        clock = Text(f"{min(self.time_s, self.duration_s):6.1f} s of {self.duration_s:.0f} s", "dim")
        bar = ProgressBar(total=self.duration_s, completed=min(self.time_s, self.duration_s), width=50)
        return Panel(Group(numbers, steps, motor, bar, clock), title=self.title, title_align="left", width=78)


def device_settings(recording: Recording) -> dict[str, Any]:
    """Settings with which the board replays `recording`: a recording in the clip's frame is a calibrated clip."""
    mounting = Mounting.clip().pack().hex() if recording.frame == "clip" else None
    return {"placement": recording.placement, "mounting": mounting}


async def _watch(board: VirtualBoard, view: View, speed: float, refresh: Callable[[], None]) -> None:
    """Let the board walk, frame by frame, until the walk is over."""
    transport = BoardSerial(board)
    link = Link(transport, view.on_live)
    # Until the app runs.
    board.advance(START_S)
    await link.live(True)
    listener = asyncio.create_task(link.listen())
    renewed_s = view.time_s
    try:
        while view.time_s < view.duration_s + TAIL_S:
            frame_ends = time.monotonic() + FRAME_S
            await asyncio.to_thread(board.advance, FRAME_S * speed)
            view.time_s = board.now_us / 1e6
            if view.time_s - renewed_s > LIVE_RENEWAL_S:
                renewed_s = view.time_s
                await transport.send(protocol.message(protocol.LIVE, 0, b"\x01"))
            refresh()
            await asyncio.sleep(max(frame_ends - time.monotonic(), 0))
            if listener.done():
                await listener
    finally:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener
    await link.live(False)


@dataclass
class RadioKit:
    """What syncing by Bluetooth takes: the board's radio, files with aioble, the virtual laptop's Bluetooth."""

    board_radio: BoardRadio
    files: list[tuple[Path, str]]
    laptop: Backend


def _radio_kit(stack: contextlib.ExitStack, folder: Path) -> RadioKit | None:
    """A kit whose air lasts as long as `stack`, with files in `folder`.

    None where the Bluetooth stack can't run (before Python 3.11).
    """
    if importlib.util.find_spec("bumble") is None:
        return None
    from retrostep.board.laptop import Laptop
    from retrostep.board.radio import Air, BoardRadio
    from retrostep.radio_bench import installed_files

    air = stack.enter_context(Air(PACKETS_PER_INTERVAL))
    laptop = Laptop(air)
    return RadioKit(BoardRadio(air), installed_files(folder), Backend(laptop.client, laptop.scanner))


def _pull(board: VirtualBoard, kit: RadioKit | None, store: Store, console: Console) -> SyncResult:
    """Sync the log into `store`: by Bluetooth, else through the serial port."""
    if kit is None:
        console.print(f"Pulling the log over the board's serial port {board.port}")
        return sync_with_bar(partial(over_cable, board.port), store, console)
    console.print("Holding the button, pairing, and pulling the log by Bluetooth")
    board.press(HOLD_MS)
    board.advance(WINDOW_OPENS_S)
    return sync_with_bar(partial(over_radio, None, pair=True, backend=kit.laptop), store, console)


def run(recording: Recording, console: Console, speed: float = SPEED) -> dict[str, int]:
    """Run the demo on `recording`; returns the steps by direction that arrived in the database.

    Raises LinkError or BoardError.
    """
    started = time.monotonic()
    kind = "synthetic" if recording.meta["source"] == "synthetic" else recording.meta["source"]
    console.print(
        f"Retrostep on the virtual board: {recording.duration_s:.0f} s walk ({kind}), {speed:g} times as fast"
    )
    with tempfile.TemporaryDirectory(prefix="retrostep-demo-") as folder, contextlib.ExitStack() as stack:
        kit = _radio_kit(stack, Path(folder) / "compiled")
        image = Path(folder) / "flash.img"
        settings = Path(folder) / "settings.json"
        settings.write_text(json.dumps(device_settings(recording)))
        files = kit.files if kit else installed_files()
        flash_image.create(image, [*files, (settings, "/settings.json")])
        view = View(f"Walk ({kind})", recording.duration_s)
        board = VirtualBoard(
            image,
            walk=recording.samples,
            feed_rate_hz=recording.rate_hz,
            speed=0,
            radio=kit.board_radio if kit else None,
        )
        board.on_event(view.on_event)
        with board:
            with Live(view, console=console, refresh_per_second=12) as live:
                asyncio.run(_watch(board, view, speed, live.refresh))
            if not console.is_terminal:
                # Elsewhere the live panel leaves its last line open.
                console.print()
            with Store(Path(folder) / "demo.sqlite3") as store:
                result = _pull(board, kit, store, console)
                history = read_history(store)
        console.print(f"{result.records} records, {result.payload_bytes} bytes, acknowledged")
    console.print(day_table(days(stretches_of(history.blocks), None), f"Steps by day ({kind})"))
    for problem in history.problems:
        console.print(f"record {problem.sequence}: {problem.text}", style="yellow")
    console.print(f"done in {time.monotonic() - started:.0f} s", style="dim")
    return dict(Counter(step.direction for step in history.steps))
