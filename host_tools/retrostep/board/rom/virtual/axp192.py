"""Register-level model of X-Powers' power chip AXP192 with the board's motor (vibration.py) at LDO3.

Source: X-Powers AXP192 data sheet, registers 12H (supplies on and off) and 28H (voltages of LDO2 and LDO3); the
identity in 03H is the one that other drivers of the chip look for.

Modelled: these three, and what LDO3 does to the motor. Which supplies are on at power-on is set at the factory; here
it is what an M5Stack Core2 needs. Not modelled: every other register (reads 0; `unmodelled_writes`), more than one
byte in a write.

Switching off what feeds the processor is told as an event "misuse".
"""

from micropython import const

from virtual import channel, clock, vibration

_CHIP_ID = const(0x03)
_SUPPLIES = const(0x12)
_LDO23_VOLTAGE = const(0x28)

_DC_DC1 = const(0x01)
_LDO3 = const(0x08)
# EXTEN, LDO2, DC-DC3, DC-DC1; LDO2 at 3.0 V, LDO3 at 3.3 V.
_POWER_ON = {_CHIP_ID: 0x03, _SUPPLIES: 0x47, _LDO23_VOLTAGE: 0xCF}


class Chip:
    """fitted, feed, int_nets: as every chip of the board gets them; only its place on the bus matters here."""

    def __init__(self, fitted, feed, int_nets):
        self.due_us = clock.NEVER
        self.refused_writes = 0
        self.unmodelled_writes = 0
        self._registers = {}
        self._pointer = 0

    def power_on(self):
        """Registers as the factory set them."""
        self._registers = dict(_POWER_ON)
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
        if self._pointer == _CHIP_ID:
            self.refused_writes += 1
        elif self._pointer not in self._registers or len(data) > 2:
            self.unmodelled_writes += 1
        else:
            self._registers[self._pointer] = data[1]
            self._drive()

    def read_into(self, buf):
        for at in range(len(buf)):
            buf[at] = self._registers.get(self._pointer, 0)
            self._pointer = (self._pointer + 1) & 0xFF

    def _drive(self):
        supplies = self._registers[_SUPPLIES]
        if not supplies & _DC_DC1:
            what = "DC-DC1, which feeds the processor, is switched off"
            channel.send({"event": "misuse", "us": clock.now_us, "chip": "axp192", "what": what})
        motor = vibration.motor
        if motor and motor.pin is None:
            mv = 1800 + 100 * (self._registers[_LDO23_VOLTAGE] & 0x0F) if supplies & _LDO3 else 0
            motor.drive(mv / motor.rated_mv, False)
