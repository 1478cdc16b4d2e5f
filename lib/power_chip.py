"""What X-Powers' power chips tell of charger and battery: AXP192 (M5Stack Core2), AXP2101 (T-Watch S3, Core2 v1.1).

    chip = PowerChip(i2c)
    chip.charging()      # whether something feeds the board through USB
    chip.battery_mv()    # 0: it does not answer, or measures no battery

Sources: X-Powers data sheets. AXP192: registers 00H (power status), 78H and 79H (battery voltage, 12 bits of 1.1 mV),
82H (what is measured). AXP2101: 00H (status), 34H and 35H (battery voltage, 13 bits of 1 mV), 30H (what is measured).
"""

from micropython import const

_STATUS = const(0x00)
_VBUS_GOOD = const(0x20)
_CHIP_ID = const(0x03)

_AXP192 = const(0x03)
_AXP192_MEASURED = const(0x82)
_AXP192_BATTERY = const(0x80)
_AXP192_VOLTAGE = const(0x78)

# Two bits of the identity differ between production runs.
_AXP2101_ID_BITS = const(0xCF)
_AXP2101 = (0x47, 0x4A)
_AXP2101_MEASURED = const(0x30)
_AXP2101_BATTERY = const(0x01)
_AXP2101_VOLTAGE = const(0x34)


class PowerChip:
    """i2c: machine.I2C or SoftI2C. A bus that fails raises nothing: the charger is what it was, the voltage 0."""

    def __init__(self, i2c, address=0x34):
        self._i2c = i2c
        self._address = address
        self._two = bytearray(2)
        self._identity = None
        self._charging = False

    def _read(self, register):
        self._i2c.readfrom_mem_into(self._address, register, self._two)
        return self._two[0]

    def _measure_battery(self, register, bit):
        measured = self._read(register)
        if not measured & bit:
            self._i2c.writeto_mem(self._address, register, bytes((measured | bit,)))

    def charging(self):
        """Whether USB feeds the board: a charger or a computer."""
        try:
            self._charging = bool(self._read(_STATUS) & _VBUS_GOOD)
        except OSError:
            # battery_mv() says so.
            pass
        return self._charging

    def battery_mv(self):
        """The battery's voltage in mV."""
        try:
            if self._identity is None:
                identity = self._read(_CHIP_ID)
                if identity == _AXP192:
                    self._measure_battery(_AXP192_MEASURED, _AXP192_BATTERY)
                elif identity & _AXP2101_ID_BITS in _AXP2101:
                    self._measure_battery(_AXP2101_MEASURED, _AXP2101_BATTERY)
                self._identity = identity
            if self._identity == _AXP192:
                self._read(_AXP192_VOLTAGE)
                return (self._two[0] << 4 | self._two[1] & 0x0F) * 11 // 10
            if self._identity & _AXP2101_ID_BITS in _AXP2101:
                self._read(_AXP2101_VOLTAGE)
                return (self._two[0] & 0x1F) << 8 | self._two[1]
        except OSError as silent:
            print("power chip: no answer:", silent)
        return 0
