"""Runs at every boot, also after deep sleep: decides whether the app may start.

Never imports the app, so that a broken app can't stop it. Sets SAFE_MODE, which main.py reads (MicroPython
runs both files in one namespace). Safe mode means: no app, the REPL is free, mpremote can repair the device.
It is entered by holding the button during a reset, or after CRASHES_BEFORE_SAFE_MODE crashes in a row without
a minute of healthy running in between. The count lives in RTC memory: it outlives every reset, not a power cut.
"""

import machine

CRASHES_BEFORE_SAFE_MODE = 3
CRASH_MARK = b"crash"

_memory = machine.RTC().memory()
crash_count = _memory[5] if len(_memory) == 6 and _memory[:5] == CRASH_MARK else 0


def _button_held():
    try:
        from firmware.boards import board

        return machine.Pin(board.BUTTON_PIN, machine.Pin.IN, machine.Pin.PULL_UP).value() == 0
    except Exception as error:
        # A board file that can't be read must not keep the device from booting.
        print("boot: no button to read:", error)
        return False


SAFE_MODE = crash_count >= CRASHES_BEFORE_SAFE_MODE or (
    machine.reset_cause() != machine.DEEPSLEEP_RESET and _button_held()
)
if SAFE_MODE:
    # The next reset tries the app again.
    machine.RTC().memory(b"")
    print("boot: safe mode, the app is not started; reset to start it")
