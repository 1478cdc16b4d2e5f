"""The wearer's settings: a JSON file with known names, each checked when it is read and when it is changed.

    placement       "waist" | "shoe" | "pocket"
    mounting        hex text of a packed gait Mounting, or null: not calibrated, waist steps have no direction
    motor_percent   0..100, 0 = no vibration
    cues_off        true: nothing vibrates, the light still tells (five presses of the button change it, too)
    quiet_from, quiet_to   "HH:MM" local time: between them only what concerns safety or answers a press vibrates;
                    no quiet hours where both are the same, or while the clock is unset
    utc_offset_min  local time minus UTC in minutes, -720..840
    pace_per_min    steps a minute of the metronome while walking backward, 40..200, or 0 = none
    low_battery_mv  the battery is called low below it, 2500..4200, or 0 = never
    plan            null, or the training plan: six whole numbers, see plan.py
    radio_every_min a window of the radio every so many minutes, 5..1440, or 0 = none
    radio_after_walk_min   a window after each walk that brings the walking to so many minutes, 1..240, or 0 = none
    step_length_mm  for the speed that fitness apps show, 100..1500, or 0 = unknown
    log_bytes       room for the step log, 65,536 .. 16,000,000
    update_key      hex text of 32 bytes: signs updates (firmware/update.py). Set once, by the first host that pairs

A name of its own is one line in _RULES: its default and either the bounds of a whole number or a check and what that
expects in words. Hosts can then read and write it at once (`retrostep settings`). If it must not be read back, its
name goes into _SECRET; if it counts only from the next start on, into _AT_START; if somebody must hear of a change,
Device.apply_settings() (firmware/app.py) tells them. A default must be a value that JSON can hold; null means "none".

A file that is damaged or holds a bad value is not obeyed: the defaults hold, the reason is printed, the file stays.
"""

import json
import sys
from binascii import unhexlify

from journal import write_atomically
from micropython import const

from firmware.steplog import PLACEMENTS

PATH = "/settings.json"


class SettingRefused(ValueError):
    """A setting's name is unknown or its value is out of range."""


def _placement(value):
    return value in PLACEMENTS


def _mounting(value):
    if value is None:
        return True
    try:
        return isinstance(value, str) and len(unhexlify(value)) > 0
    except ValueError:
        return False


def _key(value):
    try:
        return isinstance(value, str) and len(unhexlify(value)) == 32
    except ValueError:
        return False


def _flag(value):
    return isinstance(value, bool)


def _time_of_day(value):
    return isinstance(value, str) and minutes_of(value) is not None


def minutes_of(text):
    """Minutes since midnight of "HH:MM", or None if it is no time of day."""
    digits = text[:2] + text[3:]
    if len(text) != 5 or text[2] != ":" or min(digits) < "0" or max(digits) > "9":
        return None
    hours, minutes = int(text[:2]), int(text[3:])
    return hours * 60 + minutes if hours < 24 and minutes < 60 else None


def _plan(value):
    if value is None:
        return True
    # Loaded to stay only where there is a plan.
    loaded = "firmware.plan" in sys.modules
    from firmware.plan import fits

    if not loaded:
        del sys.modules["firmware.plan"]
        delattr(sys.modules["firmware"], "plan")
    return fits(value)


# name: (default, least, most, other numbers that are allowed), or (default, what is valid, that in words).
_RULES = {
    "placement": ("waist", _placement, "one of waist, shoe, pocket"),
    "mounting": (None, _mounting, "null or the hex text of a calibration"),
    "motor_percent": (80, 0, 100),
    "cues_off": (False, _flag, "true or false"),
    "quiet_from": ("00:00", _time_of_day, 'a time of day such as "22:00"'),
    "quiet_to": ("00:00", _time_of_day, 'a time of day such as "22:00"'),
    "utc_offset_min": (0, -720, 840),
    "pace_per_min": (0, 40, 200, 0),
    "low_battery_mv": (3500, 2500, 4200, 0),
    "radio_every_min": (0, 5, 1440, 0),
    "radio_after_walk_min": (5, 1, 240, 0),
    "step_length_mm": (0, 100, 1500, 0),
    "log_bytes": (1_700_000, 65_536, 16_000_000),
    "plan": (None, _plan, "null or six whole numbers as docs/training-plan.md says"),
    "update_key": (None, _key, "64 hex digits"),
}
# Never told to anybody: a host sees only whether they are set.
_SECRET = ("update_key",)
# Set once: whoever may change a key has no need of it.
_ONCE = "update_key"
# What is read once, when the app starts.
_AT_START = ("placement", "log_bytes")
# Of a refused value an error shows so much.
_SHOWN_CHARACTERS = const(60)


def _expected(name, value):
    """None if the setting may have that value, else what it may have, in words."""
    rule = _RULES[name]
    if not isinstance(rule[1], int):
        return None if rule[1](value) else rule[2]
    low, high = rule[1], rule[2]
    if isinstance(value, int) and not isinstance(value, bool) and (low <= value <= high or value in rule[3:]):
        return None
    return "a whole number %d to %d%s" % (low, high, "".join([" or %d" % other for other in rule[3:]]))


def _check(name, value):
    if name not in _RULES:
        raise SettingRefused(
            "setting %s: expected one of %s" % (str(name)[:_SHOWN_CHARACTERS], ", ".join(sorted(_RULES)))
        )
    expected = _expected(name, value)
    if expected:
        got = "a bad value" if name in _SECRET else repr(value)[:_SHOWN_CHARACTERS]
        raise SettingRefused("setting %s: expected %s, got %s" % (name, expected, got))


class Settings:
    """The settings in the file at `path`; each is an attribute-like item: settings["placement"]."""

    def __init__(self, path=PATH):
        self._path = path
        self._values = {name: rule[0] for name, rule in _RULES.items()}
        self._load()
        self._at_start = {name: self._values[name] for name in _AT_START}

    def _load(self):
        try:
            with open(self._path) as file:
                stored = json.load(file)
        except OSError:
            # No file: a device that was never set up.
            return
        except ValueError:
            print("settings: %s is not JSON; using the defaults" % self._path)
            return
        if not isinstance(stored, dict):
            print("settings: %s holds no object; using the defaults" % self._path)
            return
        for name, value in stored.items():
            try:
                # A default that was saved with the rest may be none that anybody could set.
                if name not in self._values or self._values[name] != value:
                    _check(name, value)
                    self._values[name] = value
            except SettingRefused as refused:
                print("settings: %s; using the default" % refused)

    def __getitem__(self, name):
        return self._values[name]

    def change(self, name, value):
        """Set one and save all. Raises SettingRefused, or OSError if the file can't be written."""
        self.change_all({name: value})

    def change_all(self, changes):
        """Set several, all or none of them, and save. Raises SettingRefused, or OSError as change() does."""
        for name, value in changes.items():
            _check(name, value)
        if _ONCE in changes and self._values[_ONCE] not in (None, changes[_ONCE]):
            raise SettingRefused("setting %s: it is set already, by the host that paired first" % _ONCE)
        values = dict(self._values)
        values.update(changes)
        write_atomically(self._path, json.dumps(values).encode())
        self._values = values

    def shown(self):
        """All settings as a host may see them: of the secret ones only whether they are set."""
        return {name: value is not None if name in _SECRET else value for name, value in self._values.items()}

    def waiting(self):
        """Names of the settings that were changed and count only after a restart."""
        return [name for name in _AT_START if self._values[name] != self._at_start[name]]
