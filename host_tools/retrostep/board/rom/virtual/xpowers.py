"""What the models of X-Powers' power chips share: registers on the bus, the battery's voltage, what feeds the board.

A chip names its registers with their values at power-on (POWER_ON), those that can't be written (FIXED), and what it
measures: register and bit that switch it on (MEASURED), the registers of the result (VOLTAGE). Register 00H, bit 5:
USB feeds the board. Not modelled: every other register (reads 0; `unmodelled_writes`), more than one byte in a
write, a charger without a computer.
"""

from virtual import board, clock

_STATUS = 0x00
_VBUS_GOOD = 0x20


class PowerChip:
    """fitted, feed, int_nets: as every chip of the board gets them; only its place on the bus matters here."""

    NAME: str
    POWER_ON: dict
    FIXED: tuple
    MEASURED: tuple
    VOLTAGE: tuple

    def __init__(self, fitted, feed, int_nets):
        self.due_us = clock.NEVER
        self.refused_writes = 0
        self.unmodelled_writes = 0
        self._registers = {}
        self._pointer = 0

    def power_on(self):
        """Registers as the factory set them."""
        self._registers = dict(self.POWER_ON)
        self._drive()

    def save(self):
        return {"registers": [list(pair) for pair in self._registers.items()], "pointer": self._pointer}

    def load(self, saved):
        self._registers = dict([tuple(pair) for pair in saved["registers"]])
        self._pointer = saved["pointer"]
        self._drive()

    def set_stuck(self, stuck):
        """That is a motion sensor's fault."""

    def write(self, data):
        if not len(data):
            return
        self._pointer = data[0]
        if len(data) == 1:
            return
        if self._pointer in self.FIXED or self._pointer == _STATUS or self._pointer in self.VOLTAGE:
            self.refused_writes += 1
        elif self._pointer not in self._registers or len(data) > 2:
            self.unmodelled_writes += 1
        else:
            self._registers[self._pointer] = data[1]
            self._drive()

    def read_into(self, buf):
        for at in range(len(buf)):
            buf[at] = self._value(self._pointer)
            self._pointer = (self._pointer + 1) & 0xFF

    def _value(self, register):
        if register == _STATUS:
            return _VBUS_GOOD if board.usb_attached else 0
        if register in self.VOLTAGE:
            measured, bit = self.MEASURED
            if not self._registers[measured] & bit:
                return 0
            return self._voltage(board.battery_mv())[self.VOLTAGE.index(register)]
        return self._registers.get(register, 0)

    def _voltage(self, mv):
        """What the two registers of the result read."""
        raise NotImplementedError

    def _drive(self):
        """The registers have changed: what hangs at the chip follows."""
