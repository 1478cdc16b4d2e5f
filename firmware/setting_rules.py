"""Which settings there are, what each may be, and the file that keeps them. settings.py tells what they mean.

Loaded when settings are read from the file or changed, and not kept.
"""

import json
from binascii import unhexlify

from micropython import const

from firmware import load_seldom
from firmware.settings import SECRET, SettingRefused
from firmware.steplog import PLACEMENTS


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


def _sleep(value):
    return value in ("auto", "always", "never")


def _time_of_day(value):
    if not isinstance(value, str) or len(value) != 5 or value[2] != ":":
        return False
    digits = value[:2] + value[3:]
    return min(digits) >= "0" and max(digits) <= "9" and value < "24" and value[3] < "6"


def _plan(value):
    return value is None or load_seldom("plan").fits(value)


def _wifi(value):
    return value is None or load_seldom("wifi").fits(value)


# name: (default, least, most, other numbers that are allowed), or (default, what is valid, that in words).
RULES = {
    "placement": ("waist", _placement, "one of waist, shoe, pocket"),
    "mounting": (None, _mounting, "null or the hex text of a calibration"),
    "motor_percent": (80, 0, 100),
    "cues_off": (False, _flag, "true or false"),
    "quiet_from": ("00:00", _time_of_day, 'a time of day such as "22:00"'),
    "quiet_to": ("00:00", _time_of_day, 'a time of day such as "22:00"'),
    "utc_offset_min": (0, -720, 840),
    "pace_per_min": (0, 40, 200, 0),
    "low_battery_mv": (3500, 2500, 4200, 0),
    "empty_battery_mv": (3200, 2500, 4200, 0),
    "sleep": ("auto", _sleep, "one of auto, always, never"),
    "still_after_min": (3, 1, 240, 0),
    "radio_every_min": (0, 5, 1440, 0),
    "radio_after_walk_min": (5, 1, 240, 0),
    "step_length_mm": (0, 100, 1500, 0),
    "log_bytes": (1_700_000, 65_536, 16_000_000),
    "plan": (None, _plan, "null or six whole numbers as docs/training-plan.md says"),
    "wifi": (None, _wifi, "null or an object as firmware/wifi.py says"),
    "update_key": (None, _key, "64 hex digits"),
}
# Set once: whoever may change a key has no need of it.
ONCE = "update_key"
# What is read once, when the app starts.
AT_START = ("placement", "log_bytes")
# Of a refused value an error shows so much.
_SHOWN_CHARACTERS = const(60)


def _expected(name, value):
    """None if the setting may have that value, else what it may have, in words."""
    rule = RULES[name]
    if not isinstance(rule[1], int):
        return None if rule[1](value) else rule[2]
    low, high = rule[1], rule[2]
    if isinstance(value, int) and not isinstance(value, bool) and (low <= value <= high or value in rule[3:]):
        return None
    return "a whole number %d to %d%s" % (low, high, "".join([" or %d" % other for other in rule[3:]]))


def check(name, value):
    if name not in RULES:
        raise SettingRefused(
            "setting %s: expected one of %s" % (str(name)[:_SHOWN_CHARACTERS], ", ".join(sorted(RULES)))
        )
    expected = _expected(name, value)
    if expected:
        got = "a bad value" if name in SECRET else repr(value)[:_SHOWN_CHARACTERS]
        raise SettingRefused("setting %s: expected %s, got %s" % (name, expected, got))


def read(path):
    """All settings by name: the defaults, or what the file says where that may be."""
    values = {name: rule[0] for name, rule in RULES.items()}
    try:
        with open(path) as file:
            stored = json.load(file)
    except OSError:
        # No file: a device that was never set up.
        return values
    except ValueError:
        print("settings: %s is not JSON; using the defaults" % path)
        return values
    if not isinstance(stored, dict):
        print("settings: %s holds no object; using the defaults" % path)
        return values
    for name, value in stored.items():
        try:
            # A default that was saved with the rest may be none that anybody could set.
            if name not in values or values[name] != value:
                check(name, value)
                values[name] = value
        except SettingRefused as refused:
            print("settings: %s; using the default" % refused)
    return values
