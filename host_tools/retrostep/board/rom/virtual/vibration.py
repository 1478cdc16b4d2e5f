"""The vibration motor: how it follows what drives it, and how it shakes the board and the sensor on it.

An ERM turns an eccentric mass: its speed approaches the voltage in a first-order way (rise while driven, coast when
left alone, brake when the driver turns the voltage round), the shaking grows with the square of the speed and its
frequency with the speed. It starts only above a part of its rated voltage. An LRA swings at its resonance, whatever
the voltage; the amplitude follows it.

Source of the figures: data sheets of 10 mm coin motors (rated 3 V, 150 to 200 Hz, 0.5 to 1 g on a case of 100 g,
2.3 V to start, about 0.1 s to rise and to stop); of 10 mm LRAs (175 Hz, 2 V RMS, 1 g).

The sensor shows the shaking as its low-pass passes it, a second-order one at half the sample rate (LSM6DSOX data
sheet: LPF1 at ODR/2; its order is not stated), and aliased by its samples: 175 Hz at 104 Hz looks like 33 Hz, 208 Hz
like standing still. It is added to the rows of the feed, so what lies between two rows is interpolated like the
movement itself.

Each change is told as an event "motor" (`speed`, `target`: parts of the rated speed; `tau_ms`), from which hand.py
works out what a hand on the board feels.
"""

from array import array
from math import cos, exp, pi, sin, sqrt
from struct import pack_into, unpack_from

from virtual import channel, clock

_ROW = 12
_UG_PER_LSB = 488
_UDPS_PER_LSB = 70000
_KEPT = 256
_STILL = 0.01
# A motor that turns goes on at less voltage than it needs to start.
_GOES_ON = 0.3

motor = None


def fit(spec):
    """Solder a motor to the board: the wiring's description of it, or None."""
    global motor
    motor = Motor(spec) if spec else None


def on_pwm(pin, duty):
    """The duty, 0..1, of a pin has changed: drives the motor if its transistor is there."""
    if motor and motor.pin == pin:
        motor.drive(duty * motor.supply_mv / motor.rated_mv, False)


class Motor:
    """spec: retrostep.board.wiring.Motor as a dict."""

    def __init__(self, spec):
        self.pin = spec["pin"]
        self.is_lra = spec["kind"] == "lra"
        self.rated_mv = spec["rated_mv"]
        self.supply_mv = spec["supply_mv"]
        self.frequency_hz = spec["frequency_hz"]
        self._amplitude_ug = spec["amplitude_mg"] * 1000
        self._rock_udps = spec["rock_dps"] * 1000000
        self._rise_us = spec["rise_ms"] * 1000
        self._coast_us = spec["coast_ms"] * 1000
        self._brake_us = spec["brake_ms"] * 1000
        self._start_level = spec["start_level"]
        self._cutoff_hz = spec["cutoff_hz"]
        self._axes = spec["axes"]
        self._past = _Past()
        self._past.append((0, 0.0, 0.0, self._coast_us, 0.0))

    def drive(self, level, closed_loop):
        """From now on the voltage is so many times the rated one; closed_loop: with overdrive and braking."""
        now_us = clock.now_us
        before = self._past.piece(self._past.newest)
        speed, phase = self._at(before, now_us)
        level = max(level, 0.0)
        if not self.is_lra and level < (_GOES_ON if speed > _GOES_ON else self._start_level):
            level = 0.0
        if level > speed:
            tau_us = self._rise_us // 2 if closed_loop else self._rise_us
        else:
            tau_us = self._brake_us if closed_loop else self._coast_us
        if level == before[2] and tau_us == before[3]:
            return
        self._past.append((now_us, speed, level, tau_us, phase))
        channel.send(
            {"event": "motor", "us": now_us, "speed": speed, "target": level, "tau_ms": tau_us / 1000}
        )

    def _at(self, piece, us):
        """Speed and phase in that piece of the past."""
        from_us, speed, target, tau_us, phase = piece
        passed_us = us - from_us
        left = exp(-passed_us / tau_us) if passed_us < 20 * tau_us else 0.0
        now = target + (speed - target) * left
        turned_us = passed_us if self.is_lra else target * passed_us + (speed - target) * tau_us * (1 - left)
        return now, phase + 2 * pi * self.frequency_hz * turned_us / 1000000

    def shake(self, rows, first, n, starts_us, rate_hz):
        """Add the shaking to rows first .. first + n - 1 of the feed."""
        past = self._past
        end_us = starts_us + (first + n) * 1000000 / rate_hz
        begin_us = starts_us + first * 1000000 / rate_hz
        newest = past.newest
        while newest > past.oldest and past.piece(newest)[0] > end_us:
            newest -= 1
        piece = past.piece(newest)
        if piece[2] == 0 and begin_us - piece[0] > 10 * piece[3]:
            return
        at = newest
        while at > past.oldest and past.piece(at)[0] > begin_us:
            at -= 1
        piece = past.piece(at)
        for row in range(n):
            us = starts_us + (first + row) * 1000000 / rate_hz
            while at < newest and past.piece(at + 1)[0] <= us:
                at += 1
                piece = past.piece(at)
            if us < piece[0]:
                continue
            speed, phase = self._at(piece, us)
            if speed < _STILL:
                continue
            frequency_hz = self.frequency_hz if self.is_lra else self.frequency_hz * speed
            strength = speed if self.is_lra else speed * speed
            strength /= sqrt(1 + (frequency_hz / self._cutoff_hz) ** 4)
            self._add(rows, row * _ROW, strength, phase)

    def _add(self, rows, offset, strength, phase):
        values = list(unpack_from("<6h", rows, offset))
        swing = self._amplitude_ug / _UG_PER_LSB * strength
        first, second = self._axes
        values[first] += int(swing * cos(phase))
        if not self.is_lra:
            values[second] += int(swing * sin(phase))
        values[3 + first] += int(self._rock_udps / _UDPS_PER_LSB * strength * sin(phase))
        pack_into("<6h", rows, offset, *[max(-32768, min(32767, value)) for value in values])


class _Past:
    """The last _KEPT changes of the motor: (from_us, speed then, target, time constant in us, phase then) each.

    In room that was taken before the firmware's heap is measured. Pieces are numbered from 0 on.
    """

    def __init__(self):
        self.newest = -1
        self.oldest = 0
        self._columns = [array(code, bytes(8 * _KEPT)) for code in "qddqd"]

    def append(self, piece):
        self.newest += 1
        self.oldest = max(0, self.newest + 1 - _KEPT)
        for column, value in zip(self._columns, piece):
            column[self.newest % _KEPT] = value

    def piece(self, number):
        return tuple([column[number % _KEPT] for column in self._columns])
