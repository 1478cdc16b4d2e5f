"""What some presses of the button do: told in buzzes how many steps it were today, or vibration off and on.

Loaded when the button is pressed, and not kept.
"""


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
