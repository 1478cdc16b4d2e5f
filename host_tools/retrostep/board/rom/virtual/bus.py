"""The I2C wires and the chips on them.

A chip offers `write(bytes)` (the bytes after its address) and `read_into(buffer)`. A transfer takes the time
its bits need at the bus frequency. Faults: NACK (nobody acknowledges), a bus held low (time-out), a burst that breaks
off after its chip gave half of it away.
"""

from errno import ENODEV, ETIMEDOUT

from virtual import clock

_buses = {}
# What is shorter, as a register, does not break off.
_BURST_BYTES = 20


class Bus:
    """One pair of wires. `chips` maps 7-bit addresses to chips."""

    def __init__(self):
        self.chips = {}
        self.nack = set()
        self.held_low = False
        self.torn = False

    def select(self, address, freq_hz, n_bytes, timeout_us):
        """The chip that acknowledges; the time of start, address, n_bytes and stop passes. Raises OSError."""
        if self.held_low:
            clock.spend(timeout_us)
            raise OSError(ETIMEDOUT)
        chip = None if address in self.nack else self.chips.get(address)
        if chip is None:
            clock.spend(11 * 1000000 // freq_hz)
            raise OSError(ENODEV)
        clock.spend((9 * (n_bytes + 1) + 2) * 1000000 // freq_hz)
        return chip

    def read(self, chip, buf):
        """Read from the chip that select() gave. Raises OSError."""
        if self.torn and len(buf) >= _BURST_BYTES:
            chip.read_into(memoryview(buf)[: len(buf) // 2 + 1])
            raise OSError(ETIMEDOUT)
        chip.read_into(buf)


def attach(sda, scl, address, chip):
    bus = _buses.setdefault((sda, scl), Bus())
    bus.chips[address] = chip
    return bus


def between(sda, scl):
    """The wires at these two pins: those of the wiring, else a pair with nothing on it."""
    return _buses.setdefault((sda, scl), Bus())


def all_buses():
    return _buses.values()
