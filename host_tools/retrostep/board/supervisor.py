"""Runs the device's own files in a real MicroPython on a flash image, and plays the world around it.

One interpreter process is one life of the board, from a start to the next reset. The supervisor starts each life
with the state the last one left (see rom/virtual/board.py), shuttles the serial port, passes commands in and
collects events. One thread does all of that; the methods here may be called from any other.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrostep import interpreter
from retrostep.board import feed as feeds
from retrostep.board.console import CTRL_C
from retrostep.board.errors import BoardDied, BoardError, BoardTimeout
from retrostep.board.flash_image import BLOCK_SIZE, FLASH_BLOCKS
from retrostep.board.serial_port import OutsidePort, SerialLink
from retrostep.board.wiring import XIAO_ESP32S3, Wiring

if TYPE_CHECKING:
    from retrostep.board.radio import BoardRadio

ROM = Path(__file__).resolve().parent / "rom"
ROM_HEAP = 285_000
"""Bytes of heap that the board's own doubles need, beside the device's."""
ROM_NAMES = 1_760
"""Identifiers that, with those of the doubles, fill the interpreter's pools up to the one for 2,560 more."""
NAMES_HEAP = 14_080
"""What the pools of a device's 1,270 identifiers take, 11 bytes each on 64 bits."""
RADIO_HEAP = 5_000
"""What the double of `bluetooth` takes in use and the real one does not: its UUIDs are objects of Python (190 bytes
each instead of 32), and the packet that is under way lies there twice more, in hex and as a line of JSON."""
HEADER_BYTES = 16
TYPICAL_CLOCK_PPM = 6000
CLOCK_SPREAD_PPM = 700
FAULTS = ("nack", "bus_low", "torn", "stuck", "brownout")
"""What inject() can do to the sensor: docs/virtual-board.md; "torn": bursts break off after half of their bytes."""
POLL_OUTSIDE_S = 0.01
INTERRUPT_BY_FORCE_S = 2.0
"""Time of the CPU after which code that has not waited gets the interpreter's own interrupt."""
CONSOLE_KEPT = 1 << 20


@dataclass(frozen=True)
class Event:
    """Something the board did, at a virtual time in microseconds."""

    us: int
    kind: str
    data: dict[str, Any]

    def __str__(self) -> str:
        detail = " ".join(f"{key}={value}" for key, value in self.data.items())
        return f"{self.us / 1e6:12.6f} {self.kind} {detail}"


@dataclass(frozen=True)
class FlashStats:
    """What the flash went through since the board was created. Violations are programs of 0 to 1."""

    programs: int
    bytes_programmed: int
    erases: int
    violations: int
    erases_per_block: tuple[int, ...]


def _bytes(size: str | int) -> int:
    if isinstance(size, int):
        return size
    scale = {"k": 1024, "m": 1024 * 1024}.get(size[-1].lower())
    return int(size[:-1]) * scale if scale else int(size)


class VirtualBoard:
    """One board: flash image, sensor, button, serial port. A context manager; `with` starts and stops it.

    image: flash image; made (erased) if it does not exist, see flash_image.create for one with files.
    walk: what the sensor feels: int16 (N, 6) in LSB of 0.488 mg and 70 mdps, a raw file of that, or None.
    walk_starts_s: virtual time of the walk's first sample.
    speed: virtual seconds a wall second; 0 stands still but for `advance`, None is as fast as it goes.
    clock_ppm: error of the sensor's oscillator; None: about +0.6 %, by the seed. -1600 makes 104 Hz exact.
    usb: a computer is at the other end of the USB cable; one of whose programs has the port open is in any case.
    wifi: see set_wifi.
    radio: a BoardRadio gives the board its module `bluetooth`; None: a board without a radio.
    script: ((at_ms, command, arguments...), ...) at virtual times, with the names of the methods here:
        ("press", ms), ("cut_power",), ("inject", kind, for_ms), ("set_battery", mv), ("set_usb", attached),
        ("set_wifi", air), ("set_speed", x).
    """

    def __init__(
        self,
        image: Path,
        *,
        walk: npt.NDArray[np.int16] | Path | None = None,
        feed_rate_hz: float = 104.0,
        walk_starts_s: float = 0.0,
        speed: float | None = 1.0,
        seed: int = 0,
        clock_ppm: float | None = None,
        heap: str | int = interpreter.DEVICE_HEAP,
        wiring: Wiring = XIAO_ESP32S3,
        unique_id: bytes | None = None,
        battery_mv: int = 3900,
        usb: bool = True,
        wifi: str = "absent",
        radio: "BoardRadio | None" = None,
        script: Sequence[Sequence[Any]] = (),
        extra_rom: Sequence[Path] = (),
        extra_modules: Sequence[str] = (),
    ) -> None:
        self.image = Path(image)
        self.wiring = wiring
        self.events: list[Event] = []
        self.console = bytearray()
        self._speed = speed
        self._heap = _bytes(heap)
        self._battery_mv = battery_mv
        self._usb = usb
        self._air = wifi
        self._rng = np.random.default_rng(seed)
        residual_ppm = float(self._rng.uniform(-CLOCK_SPREAD_PPM, CLOCK_SPREAD_PPM))
        self._clock_ppm = TYPICAL_CLOCK_PPM + residual_ppm if clock_ppm is None else clock_ppm
        made_up_id = bytes([0x34, 0x85, 0x18]) + self._rng.bytes(3)
        self.unique_id = made_up_id if unique_id is None else unique_id
        self._seed = seed
        self._script = [[round(at_ms * 1000), _command(*rest)] for at_ms, *rest in sorted(script, key=_at)]
        self._extra_rom = [Path(path) for path in extra_rom]
        self._extra_modules = list(extra_modules)
        self._radio = radio
        self._radio_in_use = False
        self._radio_heap = RADIO_HEAP if radio is not None else 0
        if radio is not None:
            self._extra_rom.append(radio.ROM)
            self._extra_modules.append("bluetooth")
            radio.attach(self._send_radio, self._set_radio_in_use)
        self._folder = Path(tempfile.mkdtemp(prefix="retrostep-board-"))
        # A board that is never started is never stopped.
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._feed_file = self._folder / "feed"
        self._feed = feeds.lying_still(self._feed_file)
        if walk is not None:
            self._feed = feeds.from_walk(walk, feed_rate_hz, round(walk_starts_s * 1e6), self._feed_file)
        self._counters = self._folder / "flash-counters"
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._links: list[SerialLink] = []
        self._callbacks: list[Callable[[Event], None]] = []
        self._outside: OutsidePort | None = None
        self._outside_open = False
        self._thread: threading.Thread | None = None
        self._wake_read = self._wake_write = -1
        self._life: _Life | None = None
        self._jobs: list[Callable[[], None]] = []
        self._to_board = bytearray()
        self._flash_cut: list[dict[str, Any]] = []
        self._state = self._power_on_state(0)
        self._now_us = 0
        self._powered = False
        self._stopping = False
        self._failure: BoardError | None = None
        self._reached = 0
        self._last_stats: FlashStats | None = None
        self._sensor_counts: dict[str, int] | None = None
        self._commands_sent = 0
        self._unconfirmed: dict[int, dict[str, Any]] = {}
        self._interrupt: _Interrupt | None = None

    # -- life cycle ---------------------------------------------------------------------------------------

    def __enter__(self) -> "VirtualBoard":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Power the board on and wait until its first life runs. Raises BoardDied with what it printed."""
        if self._thread:
            raise BoardError(
                "the board has been started already: use cut_power() and power_on(), or a new one"
            )
        if not self.image.exists():
            self.image.write_bytes(b"\xff" * (BLOCK_SIZE * FLASH_BLOCKS))
        blocks = self.image.stat().st_size // BLOCK_SIZE
        self._counters.write_bytes(bytes(HEADER_BYTES + 4 * blocks))
        self._outside = OutsidePort()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._thread = threading.Thread(target=self._serve, name="virtual-board", daemon=True)
        self._thread.start()
        try:
            self.power_on()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Power off for good and free everything. May be called twice."""
        if self._thread and self._thread is not threading.current_thread():
            self._stopping = True
            self._wake()
            self._thread.join(timeout=10)
        for link in self._links:
            link.close()
        if self._counters.exists():
            self._last_stats = self.flash_stats()
        self._remove_folder()

    @property
    def port(self) -> str:
        """Path of the serial port for outside programs, such as /dev/pts/5."""
        if not self._outside:
            raise BoardError("the board has no port before start()")
        return self._outside.path

    @property
    def now_us(self) -> int:
        """Virtual time of the last thing heard of the board, in microseconds since its first power-on."""
        with self._lock:
            return self._now_us

    @property
    def powered(self) -> bool:
        with self._lock:
            return self._powered

    def check(self) -> None:
        """Raise what ended the board, if something did."""
        if self._failure:
            raise self._failure
        if self._stopping or not self._thread:
            raise BoardError("the board is not running: call start()")

    def serial(self) -> SerialLink:
        """A link to the serial port for this process; sees what the board prints from now on."""
        link = SerialLink(lambda data: self._do(lambda: self._to_board.extend(data)))
        with self._lock:
            self._links.append(link)
        return link

    def on_event(self, callback: Callable[[Event], None]) -> None:
        """Call `callback` with every event from now on, in the supervisor's thread: be brief."""
        with self._lock:
            self._callbacks.append(callback)

    def wait_for(self, kind: str, timeout_s: float = 10.0, **data: Any) -> Event:
        """Wait until an event of this kind with these data has come, counting those already there."""

        def found() -> Event | None:
            for event in self.events:
                if event.kind == kind and all(event.data.get(key) == value for key, value in data.items()):
                    return event
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._failure, timeout_s)
            event = found()
            if event:
                return event
            self.check()
            raise BoardTimeout(f"no event {kind} {data} within {timeout_s:g} s; last: {self.events[-5:]}")

    def wait_for_output(self, text: bytes, timeout_s: float = 10.0) -> None:
        """Wait until the board has printed `text`, counting what it printed before (the last MiB of it)."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.console or self._failure, timeout_s):
                raise BoardTimeout(
                    f"no output {text!r} within {timeout_s:g} s; last: {bytes(self.console[-500:])!r}"
                )
            if text not in self.console:
                self.check()

    # -- the world around the board ---------------------------------------------------------------------

    def advance(self, seconds: float, timeout_s: float = 120.0) -> None:
        """Let `seconds` of virtual time pass as fast as they go (at wall speed while the port is in use)."""
        with self._changed:
            self.check()
            us = round(seconds * 1e6)
            if not self._powered:
                self._now_us += us
                return
            target_us = self._now_us + us
            before = self._reached
            self._do(lambda: self._send({"do": "advance", "us": us}))
            done = self._changed.wait_for(
                lambda: self._reached != before or self._failure or not self._powered, timeout_s
            )
            self.check()
            if not done:
                raise BoardTimeout(
                    f"{seconds:g} virtual seconds were not over after {timeout_s:g} s of wall time; the board is "
                    f"at {self._now_us / 1e6:.3f} s: a loop that never waits, or a port held open by a program"
                )
            if not self._powered:
                self._now_us = max(self._now_us, target_us)

    def set_speed(self, speed: float | None) -> None:
        """Virtual seconds a wall second; 0 stands still, None as fast as it goes."""
        self._speed = speed
        self._do(lambda: self._send({"do": "speed", "speed": speed}))

    def press(self, ms: int = 80) -> None:
        """Hold the button down for `ms` of virtual time."""
        self._do(lambda: self._send(_command("press", ms)))

    def set_battery(self, mv: int) -> None:
        """Voltage of the battery, in front of the divider."""
        self._battery_mv = mv
        self._do(lambda: self._send(_command("set_battery", mv)))

    def walk(self, walk: npt.NDArray[np.int16] | Path | None, rate_hz: float = 104.0) -> None:
        """Let the sensor feel another movement from now on; None: lie still."""
        self._feed = feeds.lying_still(self._feed_file)
        if walk is not None:
            self._feed = feeds.from_walk(walk, rate_hz, self.now_us, self._feed_file)
        feed = self._feed.as_dict()
        self._do(lambda: self._send({"do": "feed", "feed": feed}))

    def set_usb(self, attached: bool) -> None:
        """Plug the USB cable into a computer, or pull it."""
        self._usb = attached
        self._do(self._tell_usb)

    def set_wifi(self, air: str) -> None:
        """What the Wi-Fi is like: "absent", "refuses" or "there". Needs extra_modules=("network",)."""
        self._air = air
        self._do(lambda: self._send(_command("set_wifi", air)))

    def inject(self, kind: str, for_ms: int, at_ms: int | None = None) -> None:
        """A fault for `for_ms`: one of FAULTS; now, or at virtual time `at_ms`."""
        command = _command("inject", kind, for_ms)
        if at_ms is None:
            self._do(lambda: self._send(command))
        else:
            self._at(at_ms, command)

    def cut_at(self, at_ms: int) -> None:
        """Cut the power at virtual time `at_ms`."""
        self._at(at_ms, _command("cut_power"))

    def _at(self, at_ms: int, command: dict[str, Any]) -> None:
        entry = [at_ms * 1000, command]

        def add() -> None:
            # Same place as in the board's own copy: behind everything due by then.
            self._script.insert(sum(at_us <= entry[0] for at_us, _ in self._script), entry)
            self._send({"do": "script_add", "entry": entry})

        self._do(add)

    def cut_at_flash_op(self, n: int, torn: bool = False) -> None:
        """Cut the power at the n-th program or erase from now (or from power-on): before it, or half done."""
        if n < 1:
            raise BoardError(f"flash operation {n}: they are counted from 1")
        command = {"do": "flash_cut", "after": n, "torn": torn}
        with self._lock:
            if not self._powered:
                self._flash_cut = [command]
                return
        self._do(lambda: self._send(command))

    def flash_stats(self) -> FlashStats:
        """Counters of the flash since `start`, also after a cut and after `stop`."""
        if self._last_stats:
            return self._last_stats
        numbers = np.fromfile(self._counters, dtype="<u4")
        programs, in_bytes, erases, violations, *per_block = (int(value) for value in numbers)
        return FlashStats(programs, in_bytes, erases, violations, tuple(per_block))

    def sensor_counts(self, timeout_s: float = 10.0) -> dict[str, int]:
        """Writes that the sensor refused (read-only or reserved registers) or does not model, since power-on."""
        with self._changed:
            self.check()
            self._sensor_counts = None
            self._do(lambda: self._send({"do": "sensor_counts"}))
            self._changed.wait_for(lambda: self._sensor_counts or self._failure, timeout_s)
            self.check()
            if self._sensor_counts is None:
                raise BoardTimeout(
                    f"the board did not answer within {timeout_s:g} s: a loop that never waits?"
                )
            return self._sensor_counts

    def cut_power(self) -> None:
        """Take the power away at once. The flash keeps what had been programmed."""
        with self._changed:
            self.check()
            self._do(self._cut)
            self._changed.wait_for(lambda: not self._powered or self._failure, 10)
            self.check()

    def power_on(self) -> None:
        """Give the power back, and wait until the board has started."""
        with self._changed:
            self.check()
            if self._powered:
                raise BoardError("the board has power already: cut_power() first")
            before = len(self.events)

            def start_life() -> None:
                self._state = self._power_on_state(self._now_us)
                self._begin("power_on", "friendly")

            self._do(start_life)
            booted = self._changed.wait_for(
                lambda: self._failure or any(event.kind == "boot" for event in self.events[before:]), 20
            )
            self.check()
            if not booted:
                raise BoardTimeout("the interpreter did not get to boot.py within 20 s")

    # -- the supervisor's thread -------------------------------------------------------------------------

    def _do(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
        self._wake()

    def _wake(self) -> None:
        if self._wake_write >= 0:
            with contextlib.suppress(OSError):
                os.write(self._wake_write, b"!")

    def _power_on_state(self, now_us: int) -> dict[str, Any]:
        return {
            "now_us": now_us,
            "boot_us": now_us,
            "rtc_offset_us": -now_us,
            "target_us": -1,
            "rtc_memory": "",
            "wake_reason": 0,
            "battery_mv": self._battery_mv,
            "usb": self._usb or self._outside_open,
            "air": self._air,
            "feed": self._feed.as_dict(),
            "button_released_us": 1 << 60,
            "script_done": sum(at_us <= now_us for at_us, _ in self._script) if now_us else 0,
            "faults": [],
            "chips": None,
        }

    def _begin(self, cause: str, repl: str) -> None:
        """Start the next life. On failure the board is dead and every caller learns why."""
        outside = self._outside_open or self._radio_in_use
        state = {**self._state, "speed": self._speed, "outside": outside}
        wiring = self.wiring.as_dict()
        for chip in wiring["chips"]:
            chip["clock_ppm"] = self._clock_ppm
            chip["seed"] = self._seed
        description = {
            "cause": cause,
            "repl": repl,
            "state": state,
            "wiring": wiring,
            "seed": self._seed,
            "unique_id": self.unique_id.hex(),
            "script": self._script,
            "image": str(self.image.resolve()),
            "counters": str(self._counters),
            "block_size": BLOCK_SIZE,
            "heap": self._heap + self._radio_heap - NAMES_HEAP,
            "names": ROM_NAMES,
            "flash_cut": self._flash_cut,
            "extra_modules": self._extra_modules,
        }
        self._flash_cut = []
        try:
            self._life = _Life(
                description,
                self._folder / "life.json",
                self._heap + self._radio_heap + ROM_HEAP,
                self._extra_rom,
            )
        except (OSError, interpreter.InterpreterMissing) as error:
            self._fail(BoardError(f"cannot start MicroPython: {error}"))
            return
        self._powered = True
        for command in self._unconfirmed.values():
            self._life.send(command)
        life = self._life
        self._selector.register(life.tty, selectors.EVENT_READ, lambda: self._from_tty(life))
        self._selector.register(life.events, selectors.EVENT_READ, lambda: self._from_channel(life))

    def _end(self) -> None:
        """Kill the present life, after taking what it printed."""
        life = self._life
        if not life:
            return
        self._drain_tty()
        self._selector.unregister(life.tty)
        self._selector.unregister(life.events)
        life.kill()
        self._life = None
        self._interrupt = None
        self._to_board.clear()
        if self._radio is not None:
            self._radio.life_ended()

    def _cut(self) -> None:
        if not self._powered:
            return
        self._end()
        self._powered = False
        self._unconfirmed.clear()
        self._note({"event": "power_off", "us": self._now_us})

    def _fail(self, error: BoardError) -> None:
        with self._changed:
            self._failure = error
            self._powered = False
            self._changed.notify_all()

    def _serve(self) -> None:
        assert self._outside
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._from_wake)
        next_look = 0.0
        try:
            while not self._stopping:
                for key, _ in self._selector.select(POLL_OUTSIDE_S):
                    key.data()
                with self._lock:
                    jobs, self._jobs = self._jobs, []
                for job in jobs:
                    with self._lock:
                        job()
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + POLL_OUTSIDE_S / 2
                    self._look_outside()
                self._outside.flush()
                self._feed_board()
        except Exception as error:
            self._fail(BoardError(f"the supervisor failed: {error!r}"))
            raise
        finally:
            with self._lock:
                self._end()
                self._powered = False
                self._outside.close()
                self._selector.close()
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_write = -1

    def _from_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _look_outside(self) -> None:
        """Follow who has the port open, and take what they sent."""
        assert self._outside
        is_open = self._outside.is_open()
        if is_open != self._outside_open:
            self._outside_open = is_open
            if is_open:
                self._selector.register(self._outside.master, selectors.EVENT_READ, self._from_outside)
            else:
                self._selector.unregister(self._outside.master)
                self._outside.drop()
            self._tell_outside()
            self._tell_usb()

    def _tell_usb(self) -> None:
        self._send(_command("set_usb", self._usb or self._outside_open))

    def _tell_outside(self) -> None:
        self._send({"do": "outside", "open": self._outside_open or self._radio_in_use})

    def _set_radio_in_use(self, in_use: bool) -> None:
        """A central has connected, or has gone: what it does takes wall time. Any thread."""

        def change() -> None:
            if in_use != self._radio_in_use:
                self._radio_in_use = in_use
                self._tell_outside()

        self._do(change)

    def _send_radio(self, message: dict[str, Any]) -> None:
        """Pass a message of the radio to the present life, and to no later one. Any thread."""
        life = self._life

        def send() -> None:
            if life is not None and life is self._life:
                life.send({**message, "n": 0})

        self._do(send)

    def _from_outside(self) -> None:
        assert self._outside
        data = self._outside.read()
        if data:
            self._to_board += data
        else:
            self._look_outside()

    def _feed_board(self) -> None:
        """Hand waiting input over; a Ctrl-C as a command while it interrupts, and what follows when it was taken."""
        life = self._life
        if life and self._interrupt:
            self._interrupt.force_if_due()
        while life and life.booted and self._to_board and not self._interrupt:
            end = self._to_board.find(CTRL_C) if life.ctrl_c_on else -1
            if end == 0:
                del self._to_board[:1]
                self._interrupt = _Interrupt(life)
                return
            try:
                done = os.write(life.tty, self._to_board[: min(1024, end) if end > 0 else 1024])
            except BlockingIOError:
                return
            del self._to_board[:done]

    def _interrupt_taken(self, as_byte: bool) -> None:
        if self._interrupt and as_byte and not self._interrupt.forced:
            self._to_board[:0] = CTRL_C
        self._interrupt = None

    def _from_tty(self, life: "_Life") -> None:
        if life is not self._life:
            return
        try:
            data = os.read(life.tty, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._unexpected_end()
            return
        self._printed(data)

    def _drain_tty(self) -> None:
        while self._life:
            try:
                data = os.read(self._life.tty, 65536)
            except OSError:
                return
            if not data:
                return
            self._printed(data)

    def _printed(self, data: bytes) -> None:
        assert self._outside
        with self._changed:
            self.console += data
            del self.console[:-CONSOLE_KEPT]
            for link in self._links:
                link.deliver(data)
            self._changed.notify_all()
        if self._outside_open:
            self._outside.write(data)

    def _from_channel(self, life: "_Life") -> None:
        if life is not self._life:
            return
        try:
            data = os.read(life.events, 65536)
        except OSError:
            data = b""
        if not data:
            self._unexpected_end()
            return
        for line in life.lines(data):
            self._note(json.loads(line))
            if self._life is not life:
                return

    def _note(self, message: dict[str, Any]) -> None:
        """Book one message of the board and act on it."""
        kind = message.pop("event")
        if kind == "obeyed":
            self._unconfirmed.pop(message["n"], None)
            return
        if kind == "ctrl_c":
            if self._life:
                self._life.ctrl_c_on = message["on"]
            return
        if kind == "interrupt_taken":
            self._interrupt_taken(message["as_byte"])
            return
        if kind == "radio":
            # Without the lock: the radio's thread may be waiting for it.
            if self._radio is not None:
                self._radio.receive(message)
            return
        us = message.pop("us", self._now_us)
        state = message.pop("state", None)
        repl = message.pop("repl", "friendly")
        with self._changed:
            self._now_us = max(self._now_us, us)
            if kind == "sensor_counts":
                self._sensor_counts = message
            elif kind == "reached":
                # What it printed on the way belongs to the caller of advance() as well.
                self._drain_tty()
                self._reached += 1
            else:
                event = Event(us, kind, message)
                self.events.append(event)
                for callback in self._callbacks:
                    callback(event)
            if kind == "boot" and self._life:
                self._life.booted = True
            elif kind == "reset":
                self._end()
                self._state = state
                self._begin(message["cause"], repl)
            elif kind == "cut":
                self._cut()
            self._changed.notify_all()

    def _unexpected_end(self) -> None:
        """The interpreter is gone though nobody asked for it."""
        life = self._life
        if not life:
            return
        status = life.status()
        with self._lock:
            self._end()
        printed = bytes(self.console[-4000:]).decode(errors="replace").strip()
        self._fail(
            BoardDied(
                f"the board's interpreter ended by itself (status {status}); its last output:\n{printed}"
            )
        )

    def _send(self, command: dict[str, Any]) -> None:
        """Pass a command to the board. What a life did not get to before its end goes to the next one."""
        if self._life:
            self._commands_sent += 1
            numbered = {**command, "n": self._commands_sent}
            self._unconfirmed[self._commands_sent] = numbered
            self._life.send(numbered)


def _at(entry: Sequence[Any]) -> float:
    return entry[0]


def _command(name: str, *arguments: Any) -> dict[str, Any]:
    """The ROM's form of a command of the world around the board."""
    fields = {
        "press": ("press", ("ms",)),
        "cut_power": ("cut", ()),
        "inject": ("inject", ("kind", "for_ms")),
        "set_battery": ("battery", ("mv",)),
        "set_usb": ("usb", ("attached",)),
        "set_wifi": ("wifi", ("air",)),
        "set_speed": ("speed", ("speed",)),
    }
    if name not in fields:
        raise BoardError(f"no board command {name!r}: expected one of {', '.join(fields)}")
    rom_name, names = fields[name]
    if len(arguments) != len(names):
        raise BoardError(f"{name} takes ({', '.join(names)}), got {arguments}")
    if name == "inject" and arguments[0] not in FAULTS:
        raise BoardError(f"no fault {arguments[0]!r}: expected one of {', '.join(FAULTS)}")
    return {"do": rom_name, **dict(zip(names, arguments, strict=True))}


class _Life:
    """One interpreter process: its terminal, its control channel."""

    def __init__(self, description: dict[str, Any], path: Path, heap: int, extra_rom: list[Path]) -> None:
        import tty

        self.tty, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.tty, False)
        fd_in, self._commands = os.pipe()
        self.events, fd_out = os.pipe()
        self.booted = False
        self.ctrl_c_on = False
        self._partial = b""
        description = {**description, "tty": os.ttyname(slave), "fd_in": fd_in, "fd_out": fd_out}
        path.write_text(json.dumps(description))
        environment = {"PATH": os.environ.get("PATH", ""), "TZ": "UTC"}
        try:
            self._process = subprocess.Popen(
                interpreter.command(ROM / "start.py", str(path), *map(str, extra_rom), heap=str(heap)),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                pass_fds=(fd_in, fd_out),
                start_new_session=True,
                env=environment,
            )
        except BaseException:
            for fd in (self.tty, self._commands, self.events):
                os.close(fd)
            raise
        finally:
            for fd in (slave, fd_in, fd_out):
                os.close(fd)

    def send(self, command: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._commands, json.dumps(command).encode() + b"\n")

    def lines(self, data: bytes) -> list[bytes]:
        *whole, self._partial = (self._partial + data).split(b"\n")
        return whole

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for fd in (self.tty, self._commands, self.events):
            os.close(fd)

    def interrupt(self) -> None:
        """The interpreter's own Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def activity(self) -> tuple[float, bool]:
        """Seconds of the CPU so far, and whether the process sleeps. Where nobody tells: wall time, and False."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return time.monotonic(), False
        state, *fields = stat.rpartition(")")[2].split()
        return (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK"), state == "S"

    def status(self) -> int | None:
        """Exit status of a process that is ending by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        return self._process.returncode


class _Interrupt:
    """A Ctrl-C on its way to the code that runs in `life`."""

    def __init__(self, life: _Life) -> None:
        self._life = life
        self.forced = False
        self._sent_s = time.monotonic()
        self._busy_s = life.activity()[0]
        life.send({"do": "interrupt", "n": 0})

    def force_if_due(self) -> None:
        """Interrupt code that computes without end, or sleeps where no command is heard (a read of the terminal)."""
        if self.forced or time.monotonic() - self._sent_s < INTERRUPT_BY_FORCE_S:
            return
        busy_s, sleeps = self._life.activity()
        if sleeps or busy_s - self._busy_s >= INTERRUPT_BY_FORCE_S:
            self.forced = True
            self._life.interrupt()
