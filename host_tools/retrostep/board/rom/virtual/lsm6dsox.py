"""Register-level model of ST's LSM6DSOX, as far as the main register page, its FIFO and its INT1 pin go.

Source: ST data sheet LSM6DSOX (registers, chapters 9 and 10) and application note AN5272 (FIFO, chapter 9).

Modelled: identity, output data rates 12.5 Hz to 6.67 kHz (1.6 Hz for the accelerometer), full scales with saturation,
output registers with BDU, data-ready flags, address auto-increment, software reset, FIFO of 512 tagged words
(bypass, FIFO and continuous mode, watermark, full, overrun, STOP_ON_WTM, batch rates, temperature and timestamp
words, batch counter), timestamp, INT1/INT2 routing of all of these with either active level.
Self-test (CTRL5_C) and wake-up by slope on INT1, too.
Not modelled: filters and turn-on transients (samples are right from the first on), FIFO compression, embedded
functions, state machines, machine learning core, sensor hub, durations of wake-up, tap, SPI, open-drain INT pins.
Writes to what is not modelled are stored and counted in `unmodelled_writes`, writes to read-only or reserved
registers are ignored and counted in `refused_writes`.

Time: one oscillator of 40 kHz * (1 + clock_ppm / 1e6) drives everything; the "104 Hz" rate is that divided by 384.
Work is done when somebody looks: `_catch_up` batches all words that are due, in viper.

Feed: see retrostep/board/feed.py. The model interpolates linearly between feed samples at its own sample times.
"""

from array import array

import micropython
from micropython import const

from virtual import clock, movement

_FUNC_CFG_ACCESS = const(0x01)
_FIFO_CTRL1 = const(0x07)
_FIFO_CTRL2 = const(0x08)
_FIFO_CTRL3 = const(0x09)
_FIFO_CTRL4 = const(0x0A)
_COUNTER_BDR_REG1 = const(0x0B)
_COUNTER_BDR_REG2 = const(0x0C)
_INT1_CTRL = const(0x0D)
_INT2_CTRL = const(0x0E)
_WHO_AM_I = const(0x0F)
_CTRL1_XL = const(0x10)
_CTRL2_G = const(0x11)
_CTRL3_C = const(0x12)
_CTRL5_C = const(0x14)
_CTRL6_C = const(0x15)
_CTRL10_C = const(0x19)
_STATUS_REG = const(0x1E)
_OUT_TEMP_L = const(0x20)
_OUTX_L_G = const(0x22)
_OUTX_L_A = const(0x28)
_OUTZ_H_A = const(0x2D)
_FIFO_STATUS1 = const(0x3A)
_FIFO_STATUS2 = const(0x3B)
_WAKE_UP_SRC = const(0x1B)
_TIMESTAMP0 = const(0x40)
_TIMESTAMP2 = const(0x42)
_TIMESTAMP3 = const(0x43)
_TAP_CFG2 = const(0x58)
_WAKE_UP_THS = const(0x5B)
_WAKE_UP_DUR = const(0x5C)
_MD1_CFG = const(0x5E)
_INTERNAL_FREQ_FINE = const(0x63)
_FIFO_DATA_OUT_TAG = const(0x78)
_FIFO_DATA_OUT_Z_H = const(0x7E)

_SW_RESET = const(0x01)
_IF_INC = const(0x04)
_H_LACTIVE = const(0x20)
_BDU = const(0x40)
_BOOT = const(0x80)

_DEPTH = const(512)
_WORD = const(7)
# A software reset takes about 50 us, a reboot of the trimming values 10 ms (AN5272, chapter 5).
_SW_RESET_US = const(50)
_BOOT_US = const(10000)

# Power-on values other than 0.
_DEFAULTS = {0x02: 0x3F, _WHO_AM_I: 0x6C, _CTRL3_C: 0x04, 0x18: 0xE0}

# Bits that can be written, of the registers that this model acts on.
_WRITABLE = {
    _FUNC_CFG_ACCESS: 0xC0,
    _FIFO_CTRL1: 0xFF,
    _FIFO_CTRL2: 0xD7,
    _FIFO_CTRL3: 0xFF,
    _FIFO_CTRL4: 0xF7,
    _COUNTER_BDR_REG1: 0xE7,
    _COUNTER_BDR_REG2: 0xFF,
    _INT1_CTRL: 0xFF,
    _INT2_CTRL: 0x7F,
    _CTRL1_XL: 0xFE,
    _CTRL2_G: 0xFE,
    _CTRL3_C: 0xFD,
    _CTRL5_C: 0xEF,
    _CTRL6_C: 0xFF,
    _CTRL10_C: 0x20,
    _TAP_CFG2: 0xFF,
    _WAKE_UP_THS: 0xFF,
    _WAKE_UP_DUR: 0xFF,
    _MD1_CFG: 0xFF,
}
# Registers that exist and keep what is written to them, without effect here.
_STORED = (
    (0x02, 0x02),
    (0x04, 0x06),
    (0x13, 0x13),
    (0x16, 0x18),
    (0x56, 0x57),
    (0x59, 0x5A),
    (0x5D, 0x5D),
    (0x5F, 0x62),
    (0x6F, 0x75),
)

# Oscillator ticks (25 us) between samples by rate code: 104 Hz is code 4. Code 11: 1.6 Hz (ODR), 6.5 Hz (BDR).
_TICKS_1_6_HZ = const(24576)
_TICKS_6_5_HZ = const(6144)
_TEMP_TICKS = (0, 24576, 3072, 768)
_TS_EVERY = (0, 1, 8, 32)
# Feed units (16 g, 2000 dps) to output units by full-scale code.
_ACC_GAIN = (8, 1, 4, 2)
_GYR_GAIN = (8, 4, 2, 1)

_XL_DRDY = const(0x01)
_G_DRDY = const(0x02)
_FIFO_TH = const(0x08)
_FIFO_OVR = const(0x10)
_FIFO_FULL = const(0x20)
_CNT_BDR = const(0x40)

# Fields of the kernel's parameter block.
_P_SLOTS = const(0)
_P_SLOT = const(1)
_P_FRAC_LO = const(2)
_P_STEP_LO = const(3)
_P_STEP_HI = const(4)
_P_GY_EVERY = const(5)
_P_XL_EVERY = const(6)
_P_TEMP_EVERY = const(7)
_P_TS_EVERY = const(8)
_P_GY_GAIN = const(9)
_P_XL_GAIN = const(10)
_P_TS = const(11)
_P_TICKS = const(12)
_P_HEAD = const(13)
_P_COUNT = const(14)
_P_DEPTH = const(15)
_P_KEEP_NEW = const(16)
_P_LOST = const(17)
_P_XL_SHIFT = const(18)
_P_GY_SHIFT = const(19)
_P_FIELDS = const(20)


def _ticks_of(code):
    """Oscillator ticks between two samples of rate code 1 to 10."""
    return 6 << (10 - code)


@micropython.viper
def _batch(ring: ptr8, feed: ptr16, p: ptr32):
    """Append the words of p[SLOTS] time slots to the ring of p[DEPTH] words.

    feed: rows of six int16 around the slots; the first slot lies p[FRAC] / 2**32 rows behind row 0, each next one
    p[STEP] / 2**32 rows further.
    """
    mask = (1 << 32) - 1
    position = p[2] & mask
    step = (p[4] << 32) | (p[3] & mask)
    slot = p[1]
    head = p[13]
    count = p[14]
    depth = p[15]
    lost = 0
    for _ in range(p[0]):
        row = (position >> 32) * 6
        frac = (position >> 16) & 0xFFFF
        for stream in range(4):
            # In the order in which a slot's words are stored: timestamp, temperature, gyroscope, accelerometer.
            if stream == 0:
                every = p[8]
                tag = 4
            elif stream == 1:
                every = p[7]
                tag = 3
            elif stream == 2:
                every = p[5]
                tag = 1
            else:
                every = p[6]
                tag = 2
            if every == 0 or slot & (every - 1):
                continue
            if count == depth:
                lost += 1
                if not p[16]:
                    continue
                head += 1
                if head == 512:
                    head = 0
                count -= 1
            at = head + count
            if at >= 512:
                at -= 512
            at *= 7
            count += 1
            tag = (tag << 3) | ((slot & 3) << 1)
            ones = tag ^ (tag >> 4)
            ones = ones ^ (ones >> 2)
            ones = ones ^ (ones >> 1)
            ring[at] = tag | (ones & 1)
            if stream >= 2:
                gain = p[9]
                shift = p[19]
                column = row + 3
                if stream == 3:
                    gain = p[10]
                    shift = p[18]
                    column = row
                # Viper's 32-bit loads are unsigned.
                if shift > 0x7FFFFFFF:
                    shift -= 1 << 32
                for axis in range(3):
                    a = feed[column + axis]
                    if a > 32767:
                        a -= 65536
                    if frac:
                        b = feed[column + axis + 6]
                        if b > 32767:
                            b -= 65536
                        a += ((b - a) * frac + 32768) >> 16
                    a = a * gain + shift
                    if a > 32767:
                        a = 32767
                    if a < -32768:
                        a = -32768
                    ring[at + 1 + 2 * axis] = a & 255
                    ring[at + 2 + 2 * axis] = (a >> 8) & 255
            else:
                # Temperature stays at 25 degrees, which reads as 0.
                value = 0
                if stream == 0:
                    value = p[11]
                ring[at + 1] = value & 255
                ring[at + 2] = (value >> 8) & 255
                ring[at + 3] = (value >> 16) & 255
                ring[at + 4] = (value >> 24) & 255
                ring[at + 5] = 0
                ring[at + 6] = 0
        slot += 1
        position += step
        p[11] = p[11] + p[12]
    p[13] = head
    p[14] = count
    p[17] = p[17] + lost


class Chip:
    """One LSM6DSOX on a bus. `int_pins`: the nets of INT1 and, if it is wired, INT2."""

    def __init__(self, fitted, feed, int_nets):
        self.due_us = clock.NEVER
        self.refused_writes = 0
        self.unmodelled_writes = 0
        self._feed = movement.Feed(feed, fitted["seed"])
        self._int_nets = int_nets
        ppm = fitted["clock_ppm"]
        self._freq_fine = max(-128, min(127, round(ppm / 1500)))
        # Duration of one oscillator tick in units of 2**-20 us.
        self._tick_q20 = int(25 * (1 << 20) / (1 + ppm / 1000000) + 0.5)
        self._osc_hz = 40000 * (1 + ppm / 1000000)
        self._registers = bytearray(128)
        self._ring = bytearray(_DEPTH * _WORD)
        self._scratch = bytearray(_DEPTH * _WORD)
        self._p = array("i", [0] * _P_FIELDS)
        self._single = array("i", [0] * _P_FIELDS)
        self._out = bytearray(14)
        self._held = 0
        self._pointer = 0
        self._levels = [None] * len(int_nets)

    # -- power and state ----------------------------------------------------------------------------------

    def power_on(self):
        """Registers at their defaults, FIFO empty, oscillator starting now."""
        self._power_us = clock.now_us
        self._feed.frozen_row = None
        self._reset()

    def _reset(self):
        registers = self._registers
        for i in range(128):
            registers[i] = _DEFAULTS.get(i, 0)
        registers[_INTERNAL_FREQ_FINE] = self._freq_fine & 255
        self._busy_until_us = 0
        self._busy_bit = 0
        self._done_tick = self._tick()
        self._ts_zero = self._done_tick
        self._xl_read_tick = self._done_tick
        self._gy_read_tick = self._done_tick
        self._held = 0
        self._bdr_count = 0
        self._bdr_flag = False
        self._overrun = False
        self._overrun_latched = False
        self._woken = False
        # The sample up to which nothing jerks, and whether that one does; None: to be looked for.
        self._motion_tick = None
        self._jerks = False
        self._p[_P_HEAD] = self._p[_P_COUNT] = self._p[_P_LOST] = 0
        self._configure()
        self._update()

    def save(self):
        """Everything that outlives a reset of the processor."""
        self._catch_up()
        words = self._p[_P_COUNT]
        content = b"".join([self._word(i) for i in range(words)])
        return {
            "registers": bytes(self._registers).hex(),
            "fifo": content.hex(),
            "power_us": self._power_us,
            "done_tick": self._done_tick,
            "ts_zero": self._ts_zero,
            "read_ticks": [self._xl_read_tick, self._gy_read_tick],
            "flags": [self._bdr_count, self._bdr_flag, self._overrun, self._overrun_latched],
            "pointer": self._pointer,
            "counts": [self.refused_writes, self.unmodelled_writes],
        }

    def load(self, saved):
        self.power_on()
        self._power_us = saved["power_us"]
        self._registers[:] = bytes.fromhex(saved["registers"])
        content = bytes.fromhex(saved["fifo"])
        self._ring[: len(content)] = content
        self._p[_P_COUNT] = len(content) // _WORD
        self._done_tick = saved["done_tick"]
        self._ts_zero = saved["ts_zero"]
        self._xl_read_tick, self._gy_read_tick = saved["read_ticks"]
        self._bdr_count, self._bdr_flag, self._overrun, self._overrun_latched = saved["flags"]
        self._pointer = saved["pointer"]
        self.refused_writes, self.unmodelled_writes = saved["counts"]
        self._configure()
        self._update()

    def set_stuck(self, stuck):
        """Let the outputs freeze at their present values, or follow the feed again."""
        self._catch_up()
        if stuck:
            first = self._position(self._tick())
            self._feed.load(first >> 32, 1)
            self._feed.frozen_row = array("h", [0] * 6)
            for i in range(6):
                low, high = self._feed.rows[2 * i], self._feed.rows[2 * i + 1]
                value = low | high << 8
                self._feed.frozen_row[i] = value - 65536 if value > 32767 else value
        else:
            self._feed.frozen_row = None
        self._motion_tick = None
        self._update()

    def set_feed(self, feed):
        """Feel another movement from now on: movement.Feed.replace()."""
        self._catch_up()
        self._feed.replace(feed)
        self._motion_tick = None
        self._update()

    # -- clockwork ----------------------------------------------------------------------------------------

    def _tick(self):
        """Oscillator ticks since power-on."""
        return ((clock.now_us - self._power_us) << 20) // self._tick_q20

    def _tick_us(self, tick):
        """Virtual time at which tick `tick` has happened."""
        return self._power_us + -((-tick * self._tick_q20) >> 20)

    def _position(self, tick, ticks=1):
        """Feed position at a tick, in rows * 2**32; exact at multiples of `ticks` when the rates agree."""
        step = self._step(ticks)
        offset_us = self._power_us - self._feed.starts_us
        return tick // ticks * step + int(offset_us * self._feed.rate_hz * 4294.967296)

    def _step(self, ticks):
        """Feed rows * 2**32 per `ticks` oscillator ticks."""
        exact = self._feed.rate_hz * ticks / self._osc_hz
        whole = round(exact)
        if whole and abs(exact - whole) < 1e-9 * exact:
            return whole << 32
        return int(exact * 4294967296 + 0.5)

    def _odr_ticks(self, register):
        code = self._registers[register] >> 4
        if code == 0:
            return 0
        if code <= 10:
            return _ticks_of(code)
        if code == 11 and register == _CTRL1_XL:
            return _TICKS_1_6_HZ if self._registers[_CTRL6_C] & 0x10 else _ticks_of(1)
        return 0

    def _bdr_ticks(self, code, odr_ticks):
        if code == 0 or code > 11 or odr_ticks == 0:
            return 0
        return max(_TICKS_6_5_HZ if code == 11 else _ticks_of(code), odr_ticks)

    def _configure(self):
        """Work out rates and limits from the registers."""
        registers = self._registers
        self._xl_ticks = self._odr_ticks(_CTRL1_XL)
        self._gy_ticks = self._odr_ticks(_CTRL2_G)
        xl_gain = _ACC_GAIN[registers[_CTRL1_XL] >> 2 & 3]
        gy_gain = 16 if registers[_CTRL2_G] & 2 else _GYR_GAIN[registers[_CTRL2_G] >> 2 & 3]
        xl = self._bdr_ticks(registers[_FIFO_CTRL3] & 15, self._xl_ticks)
        gy = self._bdr_ticks(registers[_FIFO_CTRL3] >> 4, self._gy_ticks)
        self._mode = registers[_FIFO_CTRL4] & 7
        self._watermark = registers[_FIFO_CTRL1] | (registers[_FIFO_CTRL2] & 1) << 8
        slot_ticks = min(xl or gy, gy or xl)
        temp = _TEMP_TICKS[registers[_FIFO_CTRL4] >> 4 & 3]
        ts_every = _TS_EVERY[registers[_FIFO_CTRL4] >> 6] if registers[_CTRL10_C] & 0x20 else 0
        p = self._p
        p[_P_GY_EVERY] = gy // slot_ticks if slot_ticks else 0
        p[_P_XL_EVERY] = xl // slot_ticks if slot_ticks else 0
        p[_P_TEMP_EVERY] = max(1, temp // slot_ticks) if slot_ticks and temp else 0
        p[_P_TS_EVERY] = ts_every if slot_ticks else 0
        p[_P_GY_GAIN] = gy_gain
        p[_P_XL_GAIN] = xl_gain
        p[_P_TICKS] = slot_ticks
        # Typical outputs of the self-test: 0.5 g and 250 dps, in the units of the full scale.
        test = registers[_CTRL5_C]
        p[_P_XL_SHIFT] = (0, 1024 * xl_gain, -1024 * xl_gain, 0)[test & 3]
        p[_P_GY_SHIFT] = (0, 3571 * gy_gain, 0, -3571 * gy_gain)[test >> 2 & 3]
        # A slope of so many 1/64 (WAKE_THS_W: 1/256) of the full scale, in the feed's units.
        wakes = registers[_TAP_CFG2] & 0x80 and registers[_MD1_CFG] & 0x20 and self._xl_ticks
        weight = 128 if registers[_WAKE_UP_DUR] & 0x10 else 512
        self._wake_lsb = (registers[_WAKE_UP_THS] & 0x3F) * weight // xl_gain if wakes else 0
        self._motion_tick = None
        p[_P_DEPTH] = self._watermark if registers[_FIFO_CTRL2] & 0x80 and self._watermark else _DEPTH
        p[_P_KEEP_NEW] = self._mode == 6
        self._bdr_every = p[_P_GY_EVERY] if registers[_COUNTER_BDR_REG1] & 0x20 else p[_P_XL_EVERY]
        self._bdr_limit = registers[_COUNTER_BDR_REG2] | (registers[_COUNTER_BDR_REG1] & 7) << 8
        self._slot_ticks = slot_ticks if self._mode in (1, 6) else 0
        if self._mode == 0:
            p[_P_COUNT] = 0
            self._overrun = self._overrun_latched = False

    def _words_between(self, slot, end):
        """How many words the slots after `slot` up to `end` bring."""
        p = self._p
        words = 0
        for every in (p[_P_GY_EVERY], p[_P_XL_EVERY], p[_P_TEMP_EVERY], p[_P_TS_EVERY]):
            if every:
                words += end // every - slot // every
        return words

    def _catch_up(self):
        """Batch every word that is due by now."""
        tick = self._tick()
        ticks = self._slot_ticks
        if ticks:
            slot = self._done_tick // ticks
            end = tick // ticks
            if end > slot:
                self._count_batches(slot, end)
                self._batch_slots(slot, end)
        self._done_tick = tick

    def _count_batches(self, slot, end):
        if self._bdr_limit and self._bdr_every:
            self._bdr_count += end // self._bdr_every - slot // self._bdr_every
            if self._bdr_count >= self._bdr_limit:
                self._bdr_flag = True
                self._bdr_count %= self._bdr_limit

    def _batch_slots(self, slot, end):
        """Batch the slots after `slot` up to `end`; those that would be overwritten anyway are only counted."""
        p = self._p
        lost_before = p[_P_LOST]
        if p[_P_KEEP_NEW]:
            skip = end - _DEPTH - slot
            if skip > 0 and self._words_between(slot, slot + skip):
                p[_P_LOST] += 1
                slot += skip
        else:
            room = p[_P_DEPTH] - p[_P_COUNT]
            if room == 0:
                if self._words_between(slot, end):
                    self._overrun = self._overrun_latched = True
                return
            end = min(end, slot + _DEPTH * 32)
        ticks = self._slot_ticks
        step = self._step(ticks)
        block = max(1, ((movement.BLOCK - 2) << 32) // step)
        p[_P_STEP_LO] = _signed(step & 0xFFFFFFFF)
        p[_P_STEP_HI] = step >> 32
        while slot < end:
            n = min(end - slot, block)
            first = self._position((slot + 1) * ticks, ticks)
            self._feed.load(first >> 32, min(movement.BLOCK, (((first & 0xFFFFFFFF) + n * step) >> 32) + 2))
            p[_P_SLOTS] = n
            p[_P_SLOT] = (slot + 1) & 0xFFFFF
            p[_P_FRAC_LO] = _signed(first & 0xFFFFFFFF)
            p[_P_TS] = _signed(((slot + 1) * ticks - self._ts_zero) & 0xFFFFFFFF)
            _batch(self._ring, self._feed.rows, p)
            slot += n
        if p[_P_LOST] != lost_before:
            self._overrun = self._overrun_latched = True

    def _sample(self, ticks, gyroscope):
        """The newest output of one sensor, 6 bytes in `_scratch` from 1 on."""
        single = self._single
        tick = self._tick() // ticks * ticks
        first = self._position(tick, ticks)
        self._feed.load(first >> 32, 2)
        for i in range(_P_FIELDS):
            single[i] = 0
        single[_P_SLOTS] = 1
        single[_P_FRAC_LO] = _signed(first & 0xFFFFFFFF)
        single[_P_DEPTH] = _DEPTH
        if gyroscope:
            single[_P_GY_EVERY] = 1
            single[_P_GY_GAIN] = self._p[_P_GY_GAIN]
            single[_P_GY_SHIFT] = self._p[_P_GY_SHIFT]
        else:
            single[_P_XL_EVERY] = 1
            single[_P_XL_GAIN] = self._p[_P_XL_GAIN]
            single[_P_XL_SHIFT] = self._p[_P_XL_SHIFT]
        _batch(self._scratch, self._feed.rows, single)

    # -- interrupts ---------------------------------------------------------------------------------------

    def _watermark_reached(self):
        return 0 < self._watermark <= self._p[_P_COUNT]

    def _nearly_full(self):
        """FIFO_FULL_IA: it will be full at the next time slot."""
        if not self._slot_ticks:
            return self._p[_P_COUNT] >= self._p[_P_DEPTH]
        slot = self._done_tick // self._slot_ticks
        return self._p[_P_COUNT] + self._words_between(slot, slot + 1) >= self._p[_P_DEPTH]

    def _xl_ready(self):
        ticks = self._xl_ticks
        return ticks and self._tick() // ticks > self._xl_read_tick // ticks

    def _gy_ready(self):
        ticks = self._gy_ticks
        return ticks and self._tick() // ticks > self._gy_read_tick // ticks

    def _active(self, routed):
        """Is any of the routed sources active now?"""
        return bool(
            (routed & _FIFO_TH and self._watermark_reached())
            or (routed & _FIFO_FULL and self._nearly_full())
            or (routed & _FIFO_OVR and self._overrun)
            or (routed & _CNT_BDR and self._bdr_flag)
            or (routed & _XL_DRDY and self._xl_ready())
            or (routed & _G_DRDY and self._gy_ready())
        )

    def _update(self):
        """Set the interrupt pins to what the registers say, and foresee their next change."""
        self.due_us = clock.NEVER
        active_low = self._registers[_CTRL3_C] & _H_LACTIVE
        for i in range(len(self._int_nets)):
            routed = self._registers[_INT1_CTRL + i]
            active = routed and self._active(routed)
            if i == 0 and self._wake_lsb:
                active = active or self._woken
                if not self._woken:
                    self._foresee_motion()
                    self.due_us = min(self.due_us, self._tick_us(self._motion_tick))
            level = 1 if bool(active) != bool(active_low) else 0
            if not active and routed:
                self.due_us = min(self.due_us, self._next_active_us(routed))
            if level != self._levels[i]:
                self._levels[i] = level
                self._int_nets[i].drive(level)

    def _next_active_us(self, routed):
        """When the first of the routed sources will become active."""
        next_us = clock.NEVER
        tick = self._done_tick
        for ready, ticks in ((_XL_DRDY, self._xl_ticks), (_G_DRDY, self._gy_ticks)):
            if routed & ready and ticks:
                next_us = min(next_us, self._tick_us((tick // ticks + 1) * ticks))
        ticks = self._slot_ticks
        if not ticks:
            return next_us
        slot = tick // ticks
        count = self._p[_P_COUNT]
        needs = []
        if routed & _FIFO_TH and self._watermark:
            needs.append(self._watermark - count)
        if routed & _FIFO_FULL:
            needs.append(self._p[_P_DEPTH] - count - self._words_between(slot, slot + 1))
        if routed & _FIFO_OVR:
            needs.append(self._p[_P_DEPTH] - count + 1)
        for words in needs:
            next_us = min(next_us, self._tick_us(self._slot_with(slot, words) * ticks))
        if routed & _CNT_BDR and self._bdr_limit and self._bdr_every:
            batches = slot // self._bdr_every + self._bdr_limit - self._bdr_count
            next_us = min(next_us, self._tick_us(batches * self._bdr_every * ticks))
        return next_us

    def _slot_with(self, slot, words):
        """The first slot by which `words` more words have come."""
        low, high = slot, slot + 1
        while self._words_between(slot, high) < words:
            low, high = high, high + 2 * (high - slot)
        while high - low > 1:
            middle = (low + high) // 2
            if self._words_between(slot, middle) < words:
                low = middle
            else:
                high = middle
        return high

    def _foresee_motion(self):
        """Find the next sample in which an axis moves by more than the threshold since the one before."""
        if self._motion_tick is not None:
            return
        ticks = self._xl_ticks
        sample = self._done_tick // ticks
        first = self._position(sample * ticks, ticks) >> 32
        step = self._step(ticks)
        row, self._jerks = self._feed.first_jerk(first, max(1, (step + (1 << 31)) >> 32), self._wake_lsb)
        self._motion_tick = (sample - (-((row - first) << 32) // step)) * ticks

    def fire(self):
        self._catch_up()
        if self._wake_lsb and not self._woken and self._motion_tick <= self._done_tick:
            self._woken = self._jerks
            self._motion_tick = None
        self._update()
        if self._registers[_COUNTER_BDR_REG1] & 0x80:
            # DATAREADY_PULSED: the pin falls back by itself; one edge a sample is what matters here.
            self._xl_read_tick = self._gy_read_tick = self._done_tick
            self._update()
        if self.due_us <= clock.now_us:
            self.due_us = clock.now_us + 1

    # -- bus ----------------------------------------------------------------------------------------------

    def write(self, data):
        self._catch_up()
        self._pointer = data[0] & 0x7F
        for i in range(1, len(data)):
            self._write_register(self._pointer, data[i])
            self._advance_pointer()
        if len(data) > 1:
            self._update()

    def read_into(self, buf):
        self._catch_up()
        i = 0
        n = len(buf)
        while i < n:
            if self._pointer == _FIFO_DATA_OUT_TAG and n - i >= _WORD and self._registers[_CTRL3_C] & _IF_INC:
                i = self._read_words(buf, i)
            else:
                buf[i] = self._read_register(self._pointer)
                self._advance_pointer()
                i += 1
        self._update()

    def _advance_pointer(self):
        if self._registers[_CTRL3_C] & _IF_INC:
            if self._pointer == _FIFO_DATA_OUT_Z_H:
                self._pointer = _FIFO_DATA_OUT_TAG
            else:
                self._pointer = (self._pointer + 1) & 0x7F

    def _word(self, index):
        at = (self._p[_P_HEAD] + index) % _DEPTH * _WORD
        return bytes(memoryview(self._ring)[at : at + _WORD])

    def _read_words(self, buf, at):
        """Whole words of a burst; the address wraps from Z_H to TAG behind each. Returns where they end."""
        p = self._p
        words = min((len(buf) - at) // _WORD, p[_P_COUNT])
        if not words:
            for i in range(_WORD):
                buf[at + i] = 0
            return at + _WORD
        head = p[_P_HEAD]
        first = min(words, _DEPTH - head)
        target = memoryview(buf)
        ring = memoryview(self._ring)
        target[at : at + first * _WORD] = ring[head * _WORD : (head + first) * _WORD]
        rest = words - first
        if rest:
            middle = at + first * _WORD
            target[middle : middle + rest * _WORD] = ring[: rest * _WORD]
        self._pop(words)
        return at + words * _WORD

    def _pop(self, words):
        p = self._p
        p[_P_HEAD] = (p[_P_HEAD] + words) % _DEPTH
        p[_P_COUNT] -= words
        self._overrun = False

    def _write_register(self, register, value):
        registers = self._registers
        if registers[_FUNC_CFG_ACCESS] and register != _FUNC_CFG_ACCESS:
            # Another register page is switched in: none of it is modelled.
            self.unmodelled_writes += 1
            return
        if register == _TIMESTAMP2:
            if value == 0xAA:
                self._ts_zero = self._done_tick
            return
        mask = _WRITABLE.get(register)
        if mask is None:
            if any(first <= register <= last for first, last in _STORED):
                registers[register] = value
                self.unmodelled_writes += 1
            else:
                self.refused_writes += 1
            return
        old = registers[register]
        registers[register] = value & mask
        if register == _CTRL3_C:
            if value & (_SW_RESET | _BOOT):
                self._reset_by_software(value)
                return
        elif register == _CTRL10_C and value & 0x20 and not old & 0x20:
            self._ts_zero = self._done_tick
        elif register == _COUNTER_BDR_REG1 and value & 0x40:
            registers[register] &= ~0x40
            self._bdr_count = 0
            self._bdr_flag = False
        self._configure()

    def _reset_by_software(self, value):
        if value & _SW_RESET:
            self._reset()
        self._busy_bit = value & (_SW_RESET | _BOOT)
        self._busy_until_us = clock.now_us + (_BOOT_US if value & _BOOT else _SW_RESET_US)
        self._registers[_CTRL3_C] &= ~(_SW_RESET | _BOOT)

    def _read_register(self, register):
        registers = self._registers
        if registers[_FUNC_CFG_ACCESS] and register not in (_FUNC_CFG_ACCESS, _WHO_AM_I):
            return 0
        if _OUT_TEMP_L <= register <= _OUTZ_H_A:
            return self._read_output(register - _OUT_TEMP_L)
        if _FIFO_DATA_OUT_TAG <= register <= _FIFO_DATA_OUT_Z_H:
            return self._read_fifo_byte(register - _FIFO_DATA_OUT_TAG)
        if register == _FIFO_STATUS1:
            return self._p[_P_COUNT] & 255
        if register == _FIFO_STATUS2:
            return self._read_fifo_status()
        if register == _STATUS_REG:
            temperature = self._xl_ready() or self._gy_ready()
            return (1 if self._xl_ready() else 0) | (2 if self._gy_ready() else 0) | (4 if temperature else 0)
        if _TIMESTAMP0 <= register <= _TIMESTAMP3:
            if not registers[_CTRL10_C] & 0x20:
                return 0
            return (self._done_tick - self._ts_zero) >> (8 * (register - _TIMESTAMP0)) & 255
        if register == _WAKE_UP_SRC:
            woken, self._woken = self._woken, False
            return 0x08 if woken else 0
        if register == _CTRL3_C and clock.now_us < self._busy_until_us:
            return registers[register] | self._busy_bit
        return registers[register]

    def _read_fifo_byte(self, offset):
        if not self._p[_P_COUNT]:
            return 0
        value = self._ring[self._p[_P_HEAD] * _WORD + offset]
        if offset == _WORD - 1:
            self._pop(1)
        return value

    def _read_fifo_status(self):
        status = self._p[_P_COUNT] >> 8
        status |= 0x80 if self._watermark_reached() else 0
        status |= 0x40 if self._overrun else 0
        status |= 0x20 if self._mode and self._nearly_full() else 0
        status |= 0x10 if self._bdr_flag else 0
        status |= 0x08 if self._overrun_latched else 0
        self._overrun_latched = False
        self._bdr_flag = False
        return status

    def _read_output(self, offset):
        """A byte of OUT_TEMP .. OUTZ_A. With BDU, both bytes of a value come from the same sample."""
        pair = offset >> 1
        held = self._held & (1 << pair)
        if not (held and self._registers[_CTRL3_C] & _BDU):
            self._refresh(pair)
        if offset & 1:
            self._held &= ~(1 << pair)
            if 1 <= pair <= 3:
                self._gy_read_tick = self._done_tick
            elif pair >= 4:
                self._xl_read_tick = self._done_tick
        else:
            self._held |= 1 << pair
        return self._out[offset]

    def _refresh(self, pair):
        ticks = self._gy_ticks if pair <= 3 else self._xl_ticks
        if pair == 0 or not ticks:
            low = high = 0
        else:
            self._sample(ticks, pair <= 3)
            axis = (pair - 1) % 3
            low, high = self._scratch[1 + 2 * axis], self._scratch[2 + 2 * axis]
        self._out[2 * pair] = low
        self._out[2 * pair + 1] = high


def _signed(word):
    """An unsigned 32-bit number as the parameter block's signed one."""
    return word - (1 << 32) if word & 0x80000000 else word
