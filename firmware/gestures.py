"""What presses of the button do.

Loaded when the button is pressed, and not kept.
"""

from micropython import const

from firmware import load_seldom
from firmware.gait import BACKWARD

_TEST_PRESSES = const(2)
_CALIBRATE_PRESSES = const(3)
_SWITCH_CUES_PRESSES = const(5)


def count_shape(count):
    """A number as a shape (cues.py): thousands # hundreds = tens - ones . of its two highest places; none is -.-"""
    shape = ""
    rest = count = min(count, 9999)
    for unit, sign in ((1000, "#"), (100, "="), (10, "-"), (1, ".")):
        if shape and unit * 100 <= count:
            break
        if rest >= unit:
            shape += (" " if shape else "") + sign * (rest // unit)
            rest %= unit
    return shape or "-.-"


def tell_count(cues, count):
    """Buzz out a number. cues: CuePlayer."""
    cues.play("count", count_shape(count))


def switch_cues(cues, settings):
    """Nothing vibrates any more, or again; the change itself is felt.

    cues: CuePlayer. settings: Settings.
    """
    off = not settings["cues_off"]
    percent = settings["motor_percent"]
    if off:
        cues.play("cues_off")
        percent = 0
    cues.strength = percent
    if not off:
        cues.play("cues_on")
    try:
        settings.change("cues_off", off)
    except OSError as full:
        print("gestures: this holds until the next reset; it could not be stored:", full)


def act(device, presses):
    """The button was pressed so often in a row."""
    device.power.note_press()
    if device.imu is not None and device._link.mark(device.imu.next_index, presses):
        # A host records: presses label the recording.
        return
    try:
        if presses == _TEST_PRESSES:
            load_seldom("answers").toggle_walk_test(device)
        elif presses == _CALIBRATE_PRESSES:
            load_seldom("mountings").start_calibration(device)
        elif presses == _SWITCH_CUES_PRESSES:
            switch_cues(device._cues, device.settings)
        elif presses == 1 and device._clip_doubted:
            load_seldom("mountings").confirm_clip(device)
        elif presses == 1:
            today = device.day_count.today(
                device.clock.utc_ms() is not None, device.logbook.counts()[BACKWARD]
            )
            tell_count(device._cues, today)
    except ValueError as refused:
        print("app: %d presses are refused: %s" % (presses, refused))
        device._cues.play("error")
