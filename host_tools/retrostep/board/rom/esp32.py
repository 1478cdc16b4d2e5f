"""Double of the parts of the module `esp32` that wake the chip from sleep."""

from virtual import board

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True


def wake_on_ext0(pin, level):
    """Wake when one RTC pin has `level`. None ends it."""
    board.wake_ext0 = None if pin is None else (pin._net, int(bool(level)))


def wake_on_ext1(pins, level):
    """Wake when any of `pins` is high, or all are low. An empty tuple ends it, None leaves the pins as they are."""
    if pins is not None:
        board.wake_ext1 = (tuple([pin._net for pin in pins]), bool(level)) if len(pins) else None


def wake_on_touch(wake):
    if wake:
        raise NotImplementedError("virtual board: no touch pads")
