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
    empty_battery_mv   the device switches itself off below it, 2500..4200, or 0 = never
    sleep           "auto" | "always" | "never": whether the CPU sleeps while it has nothing to do, see power.py
    still_after_min deep sleep after lying still for so many minutes, 1..240, or 0 = never
    plan            null, or the training plan: six whole numbers, see plan.py
    radio_every_min a window of the radio every so many minutes, 5..1440, or 0 = none
    radio_after_walk_min   a window after each walk that brings the walking to so many minutes, 1..240, or 0 = none
    step_length_mm  for the speed that fitness apps show, 100..1500, or 0 = unknown
    log_bytes       room for the step log, 65,536 .. 16,000,000
    wifi            null, or network and MQTT broker with their passwords, see wifi.py; never told to anybody
    update_key      hex text of 32 bytes: signs updates (firmware/update.py). Set once, by the first host that pairs

A name of its own is one line in setting_rules.RULES: its default and either the bounds of a whole number or a check
and what that expects in words. Hosts can then read and write it at once (`retrostep settings`). If it must not be
read back, its name goes into SECRET; if it counts only from the next start on, into AT_START; if somebody must hear
of a change, Device.apply_settings() (firmware/app.py) tells them. A default must be a value that JSON can hold; null
means "none".

A file that is damaged or holds a bad value is not obeyed: the defaults hold, the reason is printed, the file stays.
"""

import json

from journal import write_atomically

from firmware import load_seldom

PATH = "/settings.json"
# Never told to anybody: a host sees only whether they are set.
SECRET = ("update_key", "wifi")


class SettingRefused(ValueError):
    """A setting's name is unknown or its value is out of range."""


class Settings:
    """The settings in the file at `path`: settings["placement"].

    Those of setting_rules.AT_START stay what they were at the start, whatever is changed.
    """

    def __init__(self, path=PATH):
        self._path = path
        rules = load_seldom("setting_rules")
        self._values = rules.read(path)
        self._at_start = {name: self._values[name] for name in rules.AT_START}

    def __getitem__(self, name):
        return self._at_start[name] if name in self._at_start else self._values[name]

    def change(self, name, value):
        """Set one and save all. Raises SettingRefused, or OSError if the file can't be written."""
        self.change_all({name: value})

    def change_all(self, changes):
        """Set several, all or none of them, and save. Raises SettingRefused, or OSError as change() does."""
        rules = load_seldom("setting_rules")
        for name, value in changes.items():
            rules.check(name, value)
        once = rules.ONCE
        if once in changes and self._values[once] not in (None, changes[once]):
            raise SettingRefused("setting %s: it is set already, by the host that paired first" % once)
        values = dict(self._values)
        values.update(changes)
        write_atomically(self._path, json.dumps(values).encode())
        self._values = values

    def shown(self):
        """All settings as a host may see them: of the secret ones only whether they are set."""
        return {name: value is not None if name in SECRET else value for name, value in self._values.items()}

    def waiting(self):
        """Names of the settings that were changed and count only after a restart."""
        return [name for name in self._at_start if self._values[name] != self._at_start[name]]
