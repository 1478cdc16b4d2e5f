"""Double of the module `machine` as the ESP32 port (MicroPython 1.29) documents it: names, arguments, failures.

What is not here raises AttributeError or TypeError, as it should: the double never accepts what it does not do.
Source: MicroPython documentation, library `machine` and the ESP32 quick reference.
"""

from virtual import board, bus, channel, clock, pins, vibration

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6

# Those that exist and do not belong to the flash; those that a converter can read.
_PINS = {
    "ESP32S3": frozenset(tuple(range(22)) + tuple(range(33, 49))),
    "ESP32": frozenset(tuple(range(6)) + tuple(range(12, 24)) + (25, 26, 27) + tuple(range(32, 40))),
}
_ADC_PINS = {
    "ESP32S3": frozenset(range(1, 21)),
    "ESP32": frozenset((0, 2, 4, 12, 13, 14, 15, 25, 26, 27) + tuple(range(32, 40))),
}
# No output and no pull on the ESP32.
_INPUT_ONLY = {"ESP32S3": (), "ESP32": tuple(range(34, 40))}


def _number(pin):
    return pin._net.number if isinstance(pin, Pin) else pin


class Pin:
    """One GPIO. Pin(n) without further arguments leaves it as it is; there is one object per pin."""

    IN = pins.IN
    OUT = pins.OUT
    OPEN_DRAIN = pins.OPEN_DRAIN
    PULL_UP = pins.PULL_UP
    PULL_DOWN = pins.PULL_DOWN
    IRQ_RISING = pins.RISING
    IRQ_FALLING = pins.FALLING
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    _pins = {}

    def __new__(cls, id, *args, **kwargs):
        if isinstance(id, Pin):
            return id
        if id not in _PINS[board.mcu]:
            raise ValueError("invalid pin")
        pin = cls._pins.get(id)
        if pin is None:
            pin = cls._pins[id] = object.__new__(cls)
            pin._net = pins.net(id)
            pin._net.pin = pin
        return pin

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1 or pull != -1 or value is not None or hold is not None:
            self.init(mode, pull, value=value, drive=drive, hold=hold)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        net = self._net
        if mode not in (-1, Pin.IN, Pin.OUT, Pin.OPEN_DRAIN):
            raise ValueError("invalid pin mode")
        if pull not in (-1, None, Pin.PULL_UP, Pin.PULL_DOWN):
            raise ValueError("invalid pull")
        if net.number in _INPUT_ONLY[board.mcu] and (mode == Pin.OUT or pull in (Pin.PULL_UP, Pin.PULL_DOWN)):
            raise ValueError("pin can only be input")
        PWM._detach(net.number)
        net.configure(
            net.mode if mode == -1 else mode,
            net.pull if pull == -1 else pull,
            net.out if value is None else int(bool(value)),
        )

    def value(self, level=None):
        net = self._net
        if level is None:
            return net.level()
        net.configure(net.mode, net.pull, int(bool(level)))
        return None

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self._net.out)

    def irq(self, handler=None, trigger=pins.RISING | pins.FALLING, *, wake=None, hard=False):
        """`hard` has no effect: the port delivers handlers from its scheduler, between two bytecodes."""
        if wake is not None:
            raise NotImplementedError("virtual board: irq(wake=); use esp32.wake_on_ext0 or wake_on_ext1")
        if trigger & ~(pins.RISING | pins.FALLING):
            raise ValueError("bad trigger")
        net = self._net
        net.handler, net.trigger = handler, trigger
        return self

    def __repr__(self):
        return "Pin(%d)" % self._net.number


class Signal:
    """A pin with its active level hidden."""

    def __init__(self, pin, *args, invert=False, **kwargs):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *args, **kwargs)
        self._invert = bool(invert)

    def value(self, active=None):
        if active is None:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(active) ^ self._invert)
        return None

    def __call__(self, active=None):
        return self.value(active)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class PWM:
    """LEDC channel on a pin; reports each change of frequency or duty."""

    _running = {}

    def __init__(self, dest, freq=-1, duty=-1, *, duty_u16=-1, duty_ns=-1, invert=0):
        if invert:
            raise NotImplementedError("virtual board: PWM(invert=)")
        self._net = pins.net(_number(Pin(dest) if not isinstance(dest, Pin) else dest))
        old = PWM._running.get(self._net.number)
        self._freq_hz = old._freq_hz if old else 5000
        self._duty_u16 = old._duty_u16 if old else 32768
        PWM._running[self._net.number] = self
        self._shown = old._shown if old else None
        self._set(freq, duty, duty_u16, duty_ns)

    def init(self, *, freq=-1, duty=-1, duty_u16=-1, duty_ns=-1):
        PWM._running[self._net.number] = self
        self._set(freq, duty, duty_u16, duty_ns)

    def _set(self, freq, duty, duty_u16, duty_ns):
        if (duty != -1) + (duty_u16 != -1) + (duty_ns != -1) > 1:
            raise ValueError("only one of parameters 'duty', 'duty_u16' or 'duty_ns' is allowed")
        if freq != -1:
            if not 0 < freq <= 40000000:
                raise ValueError("freqency must be from 1Hz to 40MHz")
            self._freq_hz = freq
        if duty != -1:
            if not 0 <= duty <= 1023:
                raise ValueError("duty must be between 0 and 1023")
            duty_u16 = duty * 65535 // 1023
        if duty_ns != -1:
            duty_u16 = min(65535, duty_ns * self._freq_hz * 65535 // 1000000000)
        if duty_u16 != -1:
            if not 0 <= duty_u16 <= 65535:
                raise ValueError("duty_u16 must be from 0 to 65535")
            self._duty_u16 = duty_u16
        self._show(self._duty_u16)

    def _show(self, duty_u16):
        shown = (self._freq_hz, duty_u16)
        if shown != self._shown:
            self._shown = shown
            channel.send(
                {
                    "event": "pwm",
                    "us": clock.now_us,
                    "pin": self._net.number,
                    "name": self._net.name,
                    "freq_hz": self._freq_hz,
                    "duty_u16": duty_u16,
                }
            )
            vibration.on_pwm(self._net.number, duty_u16 / 65535)

    def _check(self):
        if PWM._running.get(self._net.number) is not self:
            raise RuntimeError("PWM is inactive")

    def freq(self, hz=None):
        self._check()
        if hz is None:
            return self._freq_hz
        self._set(hz, -1, -1, -1)
        return None

    def duty(self, duty=None):
        self._check()
        if duty is None:
            return self._duty_u16 * 1023 // 65535
        self._set(-1, duty, -1, -1)
        return None

    def duty_u16(self, duty=None):
        self._check()
        if duty is None:
            return self._duty_u16
        self._set(-1, -1, duty, -1)
        return None

    def duty_ns(self, duty=None):
        self._check()
        if duty is None:
            return self._duty_u16 * 1000000000 // (65535 * self._freq_hz)
        self._set(-1, -1, -1, duty)
        return None

    def deinit(self):
        PWM._detach(self._net.number)

    @classmethod
    def _detach(cls, number):
        pwm = cls._running.pop(number, None)
        if pwm:
            pwm._show(0)


class ADC:
    """One-shot converter (12 bits); only the battery's divider carries a voltage."""

    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_12BIT = 12

    # Upper end of the range at each attenuation, from the ESP32-S3 data sheet's table of ADC characteristics.
    _FULL_MV = (950, 1250, 1750, 3100)

    def __init__(self, pin, *, atten=0):
        self._number = _number(pin)
        if self._number not in _ADC_PINS[board.mcu]:
            raise ValueError("invalid pin")
        self.atten(atten)

    def init(self, *, atten=0):
        self.atten(atten)

    def atten(self, atten):
        if atten not in (0, 1, 2, 3):
            raise ValueError("invalid atten")
        self._full_mv = ADC._FULL_MV[atten]

    def read_uv(self):
        clock.spend(50)
        return min(board.pin_mv(self._number), self._full_mv) * 1000

    def read(self):
        return self.read_uv() * 4095 // (self._full_mv * 1000)

    def read_u16(self):
        raw = self.read()
        return raw << 4 | raw >> 8


class I2C:
    """Bus controller 0 or 1. A device that does not answer: OSError(ENODEV); a stuck bus: OSError(ETIMEDOUT)."""

    _DEFAULT_PINS = {0: (9, 8), 1: (9, 8)}

    def __init__(self, id, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in self._DEFAULT_PINS:
            raise ValueError("I2C(%d) doesn't exist" % id)
        default_scl, default_sda = self._DEFAULT_PINS[id]
        self._id = id
        self._open(default_scl if scl is None else scl, default_sda if sda is None else sda, freq, timeout)

    def _open(self, scl, sda, freq, timeout):
        if freq <= 0:
            raise ValueError("freq must be positive")
        self._scl, self._sda = _number(scl), _number(sda)
        Pin(self._scl), Pin(self._sda)
        self._freq_hz = freq
        self._timeout_us = timeout
        self._bus = bus.between(self._sda, self._scl)

    def _select(self, address, n_bytes):
        return self._bus.select(address, self._freq_hz, n_bytes, self._timeout_us)

    def scan(self):
        found = []
        for address in range(0x08, 0x78):
            try:
                self._select(address, 0)
                found.append(address)
            except OSError:
                pass
        return found

    def writeto(self, addr, buf, stop=True):
        chip = self._select(addr, len(buf))
        if len(buf):
            chip.write(buf)
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join([bytes(part) for part in vector]), stop)

    def readfrom_into(self, addr, buf, stop=True):
        self._select(addr, len(buf)).read_into(buf)

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(addr, buf, stop)
        return bytes(buf)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        chip = self._select(addr, len(buf) + addrsize // 8 + 1)
        chip.write(self._address_bytes(memaddr, addrsize))
        self._bus.read(chip, buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buf, addrsize=addrsize)
        return bytes(buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        chip = self._select(addr, len(buf) + addrsize // 8)
        chip.write(self._address_bytes(memaddr, addrsize) + bytes(buf))

    @staticmethod
    def _address_bytes(memaddr, addrsize):
        if addrsize not in (8, 16, 24, 32):
            raise ValueError("invalid addrsize")
        return memaddr.to_bytes(addrsize // 8, "big")

    def __repr__(self):
        return "I2C(%d, scl=%d, sda=%d, freq=%d)" % (self._id, self._scl, self._sda, self._freq_hz)


class SoftI2C(I2C):
    """The same on any two pins, driven by software."""

    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self._id = -1
        self._open(scl, sda, freq, timeout)


class _Memory:
    """The chip's registers: of these only the counters of the USB host's frames, one a millisecond."""

    # The frame number in DSTS of the USB OTG controller, and FRAM_NUM of the USB Serial/JTAG controller (ESP32-S3
    # technical reference manual); each counts while a host is there.
    _FRAMES = {0x60080808: (8, 0x3FFF), 0x60038024: (0, 0x7FF)}

    def __init__(self):
        self._stopped = 0

    def __getitem__(self, address):
        if board.mcu != "ESP32S3" or address not in self._FRAMES:
            raise NotImplementedError("virtual board: no register at 0x%08x" % address)
        if board.usb_attached:
            clock.look()
            self._stopped = clock.now_us // 1000
        shift, mask = self._FRAMES[address]
        return (self._stopped & mask) << shift


mem32 = _Memory()


class RTC:
    """Calendar and the 2 KiB of RTC memory; both survive everything but a power cut."""

    def __init__(self, id=0):
        if id:
            raise ValueError("RTC(%d) doesn't exist" % id)

    def datetime(self, fields=None):
        import time

        if fields is None:
            year, month, day, hour, minute, second, weekday, _ = time.gmtime()
            return (year, month, day, weekday, hour, minute, second, time.time_ns() // 1000 % 1000000)
        year, month, day, _, hour, minute, second, microsecond = fields
        whole_s = time.mktime((year, month, day, hour, minute, second, 0, 0))
        clock.rtc_offset_us = whole_s * 1000000 + microsecond - clock.now_us
        return None

    def init(self, fields):
        self.datetime(fields)

    def memory(self, data=None):
        if data is None:
            return board.rtc_memory
        if len(data) > 2048:
            raise ValueError("buffer too long")
        board.rtc_memory = bytes(data)
        return None


class WDT:
    """Watchdog in virtual time. Once started it cannot be stopped; only deep sleep and resets end it."""

    _only = None

    def __init__(self, id=0, timeout=5000):
        if id:
            raise ValueError("WDT(%d) doesn't exist" % id)
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        if WDT._only:
            clock.remove_source(WDT._only)
        self._timeout_us = timeout * 1000
        self.due_us = clock.now_us + self._timeout_us
        WDT._only = self
        clock.add_source(self)

    def feed(self):
        self.due_us = clock.now_us + self._timeout_us

    def fire(self):
        board.leave("wdt")


class Timer:
    """Hardware timer 0 to 3; the callback runs when the firmware next waits, as a soft interrupt."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id, **kwargs):
        if id not in (0, 1, 2, 3):
            raise ValueError("invalid Timer number")
        self.due_us = clock.NEVER
        self._id = id
        if kwargs:
            self.init(**kwargs)

    def init(self, *, mode=1, freq=-1, period=-1, callback=None, hard=False):
        if freq == -1 and period == -1:
            raise ValueError("freq or period needed")
        self._period_us = int(1000000 / freq) if freq != -1 else period * 1000
        if self._period_us <= 0:
            raise ValueError("period must be positive")
        self._mode = mode
        self._callback = callback
        clock.remove_source(self)
        self.due_us = clock.now_us + self._period_us
        clock.add_source(self)

    def deinit(self):
        clock.remove_source(self)

    def fire(self):
        if self._mode == Timer.PERIODIC:
            self.due_us += self._period_us
        else:
            clock.remove_source(self)
        if self._callback:
            try:
                self._callback(self)
            except Exception as error:
                clock.report_unhandled(error)


def reset():
    board.leave("hard")


def soft_reset():
    board.leave("soft")


def reset_cause():
    return board.reset_cause


def wake_reason():
    return board.wake_reason


def deepsleep(time_ms=0):
    PWM._running.clear()
    board.deep_sleep(time_ms)


def lightsleep(time_ms=0):
    if any(pwm._duty_u16 for pwm in PWM._running.values()):
        # Its clock stops: the pin stays as it happens to be.
        channel.send(
            {"event": "misuse", "us": clock.now_us, "chip": "esp32", "what": "light sleep while a PWM runs"}
        )
    board.light_sleep(time_ms)


def unique_id():
    return board.unique_id


def freq(hz=None):
    if hz is None:
        return board.cpu_hz
    if hz not in (80000000, 160000000, 240000000):
        raise ValueError("frequency must be 80MHz, 160MHz or 240MHz")
    board.cpu_hz = hz
    return None


def idle():
    clock.wait(clock.now_us + 1000)


def disable_irq():
    return pins.irq_state(False)


def enable_irq(state):
    pins.irq_state(state)
