"""What the register-level models of motion sensors have in common: registers, bus pointer, oscillator, FIFO,
pin.

A model of one part derives from MotionChip and says what its data sheet says: power-on values, which bits can
be written, how the registers make a rate, the layout of a FIFO frame, what a full FIFO does, what its
registers answer.

Samples lie on a grid that begins when the rate is set, one every 1 / (rate * (1 + clock_ppm / 1e6)); the
first comes one interval later. They are interpolated from the feed (feed.py), turned into the part's units,
and saturate. Work is done when somebody looks. Filters, turn-on transients and cross-talk are not modelled.
Writes to registers that are read-only or do not exist are ignored and counted in `refused_writes`; writes to
registers that exist but do nothing here, in `unmodelled_writes`.
"""

from array import array

import micropython
from micropython import const

from virtual import clock, movement

_P_COUNT = const(0)
_P_FRACTION = const(1)
_P_STEP_LOW = const(2)
_P_STEP_HIGH = const(3)
_P_FRAME = const(4)
_P_HIGH = const(5)
_P_ACC_AT = const(6)
_P_ACC_Q14 = const(7)
_P_ACC_SHIFT = const(8)
_P_GYR_AT = const(9)
_P_GYR_Q14 = const(10)
_P_GYR_SHIFT = const(11)
_P_MASK = const(12)
_P_FIELDS = const(13)

ABSENT = const(255)
_CHUNK = const(128)
# Feed units to g and deg/s.
_G_PER_LSB = 0.000488
_DPS_PER_LSB = 0.07


@micropython.viper
def _make_frames(out: ptr8, feed: ptr16, p: ptr32):
    """Write p[COUNT] FIFO frames; the first lies p[FRACTION] / 2**32 rows behind row 0 of the feed."""
    mask = (1 << 32) - 1
    position = p[1] & mask
    step = (p[3] << 32) | (p[2] & mask)
    length = p[4]
    high = p[5]
    for i in range(p[0] * length):
        out[i] = 0
    for n in range(p[0]):
        row = (position >> 32) * 6
        frac = (position >> 16) & 0xFFFF
        for part in range(2):
            begin = p[6 + 3 * part]
            if begin == 255:
                continue
            gain = p[7 + 3 * part]
            shift = p[8 + 3 * part]
            # Viper's 32-bit loads are unsigned.
            if shift > 0x7FFFFFFF:
                shift -= 1 << 32
            for axis in range(3):
                column = row + 3 * part + axis
                a = feed[column]
                if a > 32767:
                    a -= 65536
                if frac:
                    b = feed[column + 6]
                    if b > 32767:
                        b -= 65536
                    a += ((b - a) * frac + 32768) >> 16
                a = ((a * gain + 8192) >> 14) + shift
                if a > 32767:
                    a = 32767
                if a < -32768:
                    a = -32768
                a = a & p[12]
                at = n * length + begin + 2 * axis
                out[at + high] = (a >> 8) & 255
                out[at + 1 - high] = a & 255
        position += step


def _signed(word):
    """An unsigned 32-bit number as the parameter block's signed one."""
    return word - (1 << 32) if word & 0x80000000 else word


class MotionChip:
    """One part on a bus; its first interrupt output drives int_nets[0].

    A derived class sets the constants below and gives `_configure()` (work out rate, scales, FIFO from the
    registers), `_write_register(register, value)`, `_read_register(register)`.
    """

    # Power-on values other than 0, and the bits that can be written of the registers that do something here.
    DEFAULTS = {}
    WRITABLE = {}
    # Registers that keep what is written without effect here: ((first, last), ...).
    STORED = ()
    CAPACITY_BYTES = 1024
    BIG_ENDIAN = False

    def __init__(self, fitted, feed, int_nets):
        self.due_us = clock.NEVER
        self.refused_writes = 0
        self.unmodelled_writes = 0
        self._feed = movement.Feed(feed, fitted["seed"])
        self._net = int_nets[0] if int_nets else None
        self._clock_factor = 1 + fitted["clock_ppm"] / 1000000
        self._registers = bytearray(128)
        self._p = array("i", [0] * _P_FIELDS)
        self._scratch = bytearray(14 * _CHUNK)
        self._fifo = bytearray()
        self._level = None

    # -- power and state ----------------------------------------------------------------------------------

    def power_on(self):
        """Registers at their defaults, FIFO empty."""
        self._feed.frozen_row = None
        self._reset()

    def _reset(self):
        for i in range(128):
            self._registers[i] = self.DEFAULTS.get(i, 0)
        self._pointer = 0
        self._fifo = bytearray()
        self._overrun = False
        self._rate_hz = 0
        self._zero_us = clock.now_us
        self._done = 0
        self._wake_lsb = 0
        self._woken = False
        self._rest = None
        self._forget()
        self._reconfigure()

    def _forget(self):
        """What else a power-on or software reset clears."""

    def save(self):
        """Everything that outlives a reset of the processor."""
        self._catch_up()
        state = {
            "registers": bytes(self._registers).hex(),
            "fifo": bytes(self._fifo).hex(),
            "zero_us": self._zero_us,
            "done": self._done,
            "flags": [self._pointer, self._overrun, self._woken],
            "counts": [self.refused_writes, self.unmodelled_writes],
        }
        state["more"] = self._save_more()
        return state

    def _save_more(self):
        return None

    def _load_more(self, more):
        pass

    def load(self, saved):
        self.power_on()
        self._registers[:] = bytes.fromhex(saved["registers"])
        self._load_more(saved["more"])
        self._reconfigure()
        self._fifo = bytearray(bytes.fromhex(saved["fifo"]))
        self._zero_us = saved["zero_us"]
        self._done = saved["done"]
        self._pointer, self._overrun, self._woken = saved["flags"]
        self.refused_writes, self.unmodelled_writes = saved["counts"]
        self._update()

    def set_stuck(self, stuck):
        """Let the outputs freeze at their present values, or follow the feed again."""
        self._catch_up()
        if not stuck:
            self._feed.frozen_row = None
            return
        self._feed.load(self._position(self._done) >> 32, 1)
        row = array("h", [0] * 6)
        for i in range(6):
            value = self._feed.rows[2 * i] | self._feed.rows[2 * i + 1] << 8
            row[i] = value - 65536 if value > 32767 else value
        self._feed.frozen_row = row

    # -- what a model's _configure() calls
    # --------------------------------------------------------------------

    def _sample_at(self, rate_hz):
        """Sample at this nominal rate from now on; 0: the sensors are off."""
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._zero_us = clock.now_us
            self._done = 0

    def _frame(self, length, acc_at, lsb_per_g, gyr_at, lsb_per_dps, mask=-1):
        """The layout of a FIFO frame (ABSENT: not in it) and the units of its numbers."""
        p = self._p
        p[_P_FRAME] = self._frame_bytes = length
        p[_P_HIGH] = 0 if self.BIG_ENDIAN else 1
        p[_P_ACC_AT] = acc_at
        p[_P_ACC_Q14] = round(lsb_per_g * _G_PER_LSB * 16384)
        p[_P_GYR_AT] = gyr_at
        p[_P_GYR_Q14] = round(lsb_per_dps * _DPS_PER_LSB * 16384)
        p[_P_MASK] = mask

    def _self_test(self, acc_lsb, gyr_lsb):
        """What a self-test's excitation adds to every axis, in the part's own units."""
        self._p[_P_ACC_SHIFT], self._p[_P_GYR_SHIFT] = acc_lsb, gyr_lsb

    # What _configure() decides: whether samples go into the FIFO, whether a full FIFO keeps its oldest
    # content, how many bytes raise the pin (0: none), which level of the pin is active.
    _batching = False
    _stops = False
    _watermark_bytes = 0
    _active_level = 1

    def _reconfigure(self):
        self._configure()
        self._update()

    # -- clockwork
    # --------------------------------------------------------------------------------------------

    def _sample_us(self, index):
        """Virtual time of a sample, in us (a fraction with it)."""
        return self._zero_us + index * 1000000 / (self._rate_hz * self._clock_factor)

    def _position(self, index):
        """Feed position of a sample, in rows * 2**32."""
        offset_us = self._zero_us - self._feed.starts_us
        return int(offset_us * self._feed.rate_hz * 4294.967296) + index * self._step()

    def _step(self):
        if not self._rate_hz:
            return 0
        return int(self._feed.rate_hz / (self._rate_hz * self._clock_factor) * 4294967296 + 0.5)

    def _due(self):
        """How many samples have been taken by now."""
        if not self._rate_hz:
            return 0
        passed_us = clock.now_us - self._zero_us
        return int(passed_us * self._rate_hz * self._clock_factor / 1000000 + 1e-6)

    def _catch_up(self):
        due = self._due()
        new = due - self._done
        if new <= 0:
            return
        first = self._done + 1
        self._done = due
        if self._batching:
            most = self.CAPACITY_BYTES // self._frame_bytes + 1
            if new > most and not self._stops:
                # All of these are overwritten by later ones.
                first += new - most
                self._fifo = bytearray()
                self._overrun = True
                new = most
            while new:
                count = min(new, _CHUNK, most)
                self._append(self._frames(first, count))
                first += count
                new -= count
                if self._stops and self._overrun:
                    return

    def _frames(self, first, count):
        """The FIFO frames of samples first .. first + count - 1."""
        p = self._p
        step = self._step()
        if step * count >> 32 > movement.BLOCK - 3:
            half = count // 2
            return self._frames(first, half) + self._frames(first + half, count - half)
        position = self._position(first)
        self._feed.load(position >> 32, (((position & 0xFFFFFFFF) + count * step) >> 32) + 2)
        p[_P_COUNT] = count
        p[_P_FRACTION] = _signed(position & 0xFFFFFFFF)
        p[_P_STEP_LOW] = _signed(step & 0xFFFFFFFF)
        p[_P_STEP_HIGH] = step >> 32
        _make_frames(self._scratch, self._feed.rows, p)
        return bytes(memoryview(self._scratch)[: count * self._frame_bytes])

    def _append(self, frames):
        """Put whole frames into the FIFO; what does not fit makes room (oldest frames go) or is dropped."""
        room = self.CAPACITY_BYTES - len(self._fifo)
        if len(frames) > room:
            self._overrun = True
            if self._stops:
                frames = frames[: room // self._frame_bytes * self._frame_bytes]
            else:
                gone = -(-(len(frames) - room) // self._frame_bytes) * self._frame_bytes
                self._fifo = self._fifo[gone:]
        self._fifo += frames

    def _newest(self):
        """The newest sample as a FIFO frame, whether or not there is a FIFO."""
        return self._frames(self._done, 1)

    def set_feed(self, feed):
        """Feel another movement from now on: movement.Feed.replace()."""
        self._catch_up()
        self._feed.replace(feed)
        self._update()

    # -- interrupt pin
    # ----------------------------------------------------------------------------------------

    def _pin_active(self):
        return 0 < self._watermark_bytes <= len(self._fifo) or self._woken

    def _update(self):
        """Set the pin to what the registers say, and foresee its next change."""
        self.due_us = clock.NEVER
        active = self._pin_active()
        if self._net:
            level = self._active_level if active else 1 - self._active_level
            if level != self._level:
                self._level = level
                self._net.drive(level)
        if not active and self._rate_hz:
            if self._wake_lsb:
                self._foresee(1)
            elif self._batching and self._watermark_bytes:
                missing = self._watermark_bytes - len(self._fifo)
                self._foresee(-(-missing // self._frame_bytes))

    def _foresee(self, samples):
        self.due_us = max(int(self._sample_us(self._done + samples)) + 1, clock.now_us + 1)

    def fire(self):
        self._catch_up()
        if self._wake_lsb and not self._woken and self._done:
            self._look_for_motion()
        self._update()

    def _look_for_motion(self):
        """Wake up if an axis has moved by more than the threshold since the sample before."""
        self._feed.load(self._position(self._done) >> 32, 1)
        row = [self._feed.rows[2 * i] | self._feed.rows[2 * i + 1] << 8 for i in range(3)]
        row = [value - 65536 if value > 32767 else value for value in row]
        if self._rest and max([abs(now - before) for now, before in zip(row, self._rest)]) > self._wake_lsb:
            self._woken = True
        self._rest = row

    # -- bus
    # --------------------------------------------------------------------------------------------------

    def write(self, data):
        self._catch_up()
        self._pointer = data[0] & 0x7F
        for i in range(1, len(data)):
            self._write_register(self._pointer, data[i])
            self._pointer = self._after(self._pointer)
        if len(data) > 1:
            self._update()

    def read_into(self, buf):
        self._catch_up()
        i = 0
        while i < len(buf):
            taken = self._read_burst(buf, i)
            if not taken:
                buf[i] = self._read_register(self._pointer)
                self._pointer = self._after(self._pointer)
                taken = 1
            i += taken
        self._update()

    def _after(self, register):
        """Where the bus pointer goes behind `register`: a FIFO's data register does not move it."""
        return (register + 1) & 0x7F

    def _read_burst(self, buf, at):
        """Take as many bytes as possible out of the FIFO in one go; how many."""
        if self._pointer != self.DATA_REGISTER:
            return 0
        n = min(len(buf) - at, len(self._fifo))
        buf[at : at + n] = self._fifo[:n]
        self._fifo = self._fifo[n:]
        return n

    def _keep(self, register, value):
        """Store what can be written; True if the register does something here."""
        mask = self.WRITABLE.get(register)
        if mask is not None:
            self._registers[register] = value & mask
            return True
        for first, last in self.STORED:
            if first <= register <= last:
                self._registers[register] = value
                self.unmodelled_writes += 1
                return False
        self.refused_writes += 1
        return False
