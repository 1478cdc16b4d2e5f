"""The serial port of the virtual board: a pseudo terminal for outside programs, and links for our own.

Outside programs open the path in `OutsidePort.path`. What the board prints while nobody has it open is lost, as
on a device. Linux tells the master side of a pseudo terminal whether anybody has the slave open (POLLHUP).
"""

import os
import select
import threading

OUTSIDE_BACKLOG = 1 << 16


class OutsidePort:
    """The pseudo terminal that mpremote and the like open. Used by the supervisor's thread only."""

    def __init__(self) -> None:
        # Windows has neither terminals nor this module, and must still import the package.
        import tty

        self.master, slave = os.openpty()
        # The settings stay with the terminal: programs that set none get raw bytes.
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        self._poll = select.poll()
        self._poll.register(self.master, 0)
        self._backlog = bytearray()

    def is_open(self) -> bool:
        """Does any program have the port open?"""
        return not any(flags & select.POLLHUP for _, flags in self._poll.poll(0))

    def read(self) -> bytes:
        """What the outside sent; b"" if nothing."""
        try:
            return os.read(self.master, 4096)
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Queue data for the outside program; see `flush`."""
        self._backlog += data
        if len(self._backlog) > OUTSIDE_BACKLOG:
            del self._backlog[:-OUTSIDE_BACKLOG]

    def flush(self) -> bool:
        """Write what the terminal takes. True if some is left."""
        while self._backlog:
            try:
                done = os.write(self.master, self._backlog)
            except (BlockingIOError, OSError):
                break
            del self._backlog[:done]
        return bool(self._backlog)

    def drop(self) -> None:
        """Forget what nobody is there to read."""
        self._backlog.clear()

    def close(self) -> None:
        os.close(self.master)


class SerialLink:
    """Our own end of the serial port, in this process. Does not count as an outside program."""

    def __init__(self, send) -> None:
        self._send = send
        self._received = bytearray()
        self._arrival = threading.Condition()
        self._closed = False

    def write(self, data: bytes) -> int:
        """Send to the board."""
        self._send(bytes(data))
        return len(data)

    def read(self, size: int = -1, timeout_s: float = 0.0) -> bytes:
        """Up to `size` bytes (-1: all there is), waiting at most `timeout_s` for the first."""
        with self._arrival:
            if not self._received:
                self._arrival.wait_for(lambda: self._received or self._closed, timeout_s)
            if size < 0:
                size = len(self._received)
            data = bytes(self._received[:size])
            del self._received[:size]
            return data

    def read_until(self, ending: bytes, timeout_s: float = 5.0) -> bytes:
        """Everything up to and including `ending`; TimeoutError tells what came instead."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: ending in self._received, timeout_s):
                raise TimeoutError(
                    f"expected {ending!r} from the board within {timeout_s:g} s, got {bytes(self._received)!r}"
                )
            end = self._received.index(ending) + len(ending)
            data = bytes(self._received[:end])
            del self._received[:end]
            return data

    def deliver(self, data: bytes) -> None:
        """Called by the supervisor with what the board printed."""
        with self._arrival:
            self._received += data
            self._arrival.notify_all()

    def close(self) -> None:
        with self._arrival:
            self._closed = True
            self._arrival.notify_all()
