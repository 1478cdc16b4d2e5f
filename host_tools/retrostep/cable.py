"""The serial cable as a transport: firmware/link/framing.py's lines over pyserial."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import serial
import serial.tools.list_ports

from retrostep.device_tree import use_device_code
from retrostep.link import LinkError

use_device_code()

from firmware.link.framing import decode_line, encode_line  # noqa: E402

BAUD = 115_200
# What opening a port says where another program has it. Windows gives no number.
_IN_USE = (None, errno.EBUSY, errno.EACCES, errno.EAGAIN)


class PortUnusable(LinkError):
    """The serial port can't be opened."""


def ports() -> list[tuple[str, str]]:
    """(port, description) of the serial ports of this computer."""
    return sorted((port.device, port.description) for port in serial.tools.list_ports.comports())


def require_port(port: str) -> None:
    """Raises PortUnusable if there is no such serial port. On Windows only opening it tells."""
    if os.name == "posix" and not Path(port).exists():
        raise PortUnusable(f"there is no serial port {port}; seen: {_known()}. Is the device plugged in?")


def _known() -> str:
    return ", ".join(port for port, _ in ports()) or "none"


class LineAssembler:
    """Turns bytes as they come in into the messages they carry; other text is kept aside."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages completed by `data`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for line in lines if (message := decode_line(line)) is not None]


class CableTransport:
    """Async context manager over a serial port. Raises PortUnusable on entering."""

    def __init__(self, port: str) -> None:
        self.name = port
        self.advice = (
            f"if it shows a REPL, start the app with `mpremote connect {port} reset`; if the port is another "
            "device's, `retrostep ports` lists what there is"
        )
        self._serial: serial.Serial | None = None
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stopping = threading.Event()

    async def __aenter__(self) -> CableTransport:
        require_port(self.name)
        try:
            self._serial = serial.Serial(self.name, BAUD, timeout=0.1, write_timeout=3.0, exclusive=True)
        except (serial.SerialException, ValueError) as error:
            number = getattr(error, "errno", None)
            why = str(error) if number is None else os.strerror(number)
            advice = " Is another program (mpremote, a monitor) using it?" if number in _IN_USE else ""
            raise PortUnusable(
                f"serial port {self.name} can't be opened: {why}. Ports seen: {_known()}.{advice}"
            ) from error
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._read, name=f"cable {self.name}", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        if self._serial is not None:
            self._serial.close()

    def _read(self) -> None:
        assert self._serial is not None
        lines = LineAssembler()
        while not self._stopping.is_set():
            try:
                data = self._serial.read(max(self._serial.in_waiting, 1))
            except (serial.SerialException, OSError):
                self._loop.call_soon_threadsafe(self._messages.put_nowait, None)
                return
            for message in lines.feed(data):
                self._loop.call_soon_threadsafe(self._messages.put_nowait, message)

    async def send(self, message: bytes) -> None:
        """Send one message. Raises LinkError."""
        assert self._serial is not None
        try:
            # The newline first ends whatever stray bytes lie before.
            await asyncio.to_thread(self._serial.write, b"\n" + encode_line(message))
        except serial.SerialException as error:
            raise LinkError(f"{self.name} was disconnected: {error}") from error

    async def receive(self) -> bytes:
        """The next message. Raises LinkError if the port is gone."""
        message = await self._messages.get()
        if message is None:
            raise LinkError(f"{self.name} was disconnected; plug it in and sync again (nothing was lost)")
        return message
