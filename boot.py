"""Runs at every boot, also after deep sleep: chooses the application and decides whether it may start.

Never imports the app, so that a broken app can't stop it. What it leaves for main.py (MicroPython runs both files in
one namespace): SAFE_MODE, crash_count, CRASH_MARK, keep_fed(), feeder.

**Slots.** An application lies in a slot: the folder /a or /b, which holds firmware/ and the modules of lib/, or the
root, where these lie in lib/. /slots says which: "active good tries", for
example "b a 2". While active is not good, the application is on trial: each start takes one of its tries, and once
it has run in health for minutes it becomes the good one (firmware/slots.py). Without a try left the good one starts
again, and "a a 0 b" tells it that b failed. No or an unreadable file: the application in the root.

**Safe mode**: no walking is measured; cable and radio work, and the REPL is free if even that fails. It is entered by
holding the button during a reset, or after CRASHES_BEFORE_SAFE_MODE crashes or hangs in a row without a minute of
healthy running in between. The count lives in RTC memory: it outlives every reset, not a power cut.

**Watchdog.** A running one can't be stopped and outlives a soft reset, timers do not: after one it is fed from here,
for mpremote, which begins with a soft reset.
"""

import os
import sys

import machine

CRASHES_BEFORE_SAFE_MODE = 3
CRASH_MARK = b"crash"
WATCHDOG_MS = 30_000
_FEED_MS = 2_000
_SLOTS = "/slots"


def keep_fed():
    """Feed the watchdog from now on: the REPL is in charge, and nothing of ours runs there. Returns the timer."""
    watchdog = machine.WDT(timeout=WATCHDOG_MS)
    return machine.Timer(0, period=_FEED_MS, callback=lambda timer: watchdog.feed())


def _slot(counts):
    """The folder of the application to start, "" for the root, and whether the one on trial was given up just now."""
    try:
        with open(_SLOTS) as file:
            active, good, tries = file.read().split()[:3]
        left = int(tries) - 1
    except (OSError, ValueError):
        return "", False
    if active == good or not counts:
        return ("/" + active).rstrip("/"), False
    failed = left < 0
    if failed:
        print("boot: the application in", active, "failed; back to", good)
    try:
        with open(_SLOTS + ".new", "w") as file:
            file.write(" ".join((good, good, "0", active) if failed else (active, good, str(left))))
        os.rename(_SLOTS + ".new", _SLOTS)
    except OSError as full:
        print("boot: the tries could not be counted:", full)
    return ("/" + (good if failed else active)).rstrip("/"), failed


def _button_held():
    try:
        from firmware.boards import button_pin

        return button_pin().value() == 0
    except Exception as error:
        # A board file that can't be read must not keep the device from booting.
        print("boot: no button to read:", error)
        return False


_cause = machine.reset_cause()
# mpremote resets softly at each call and starts nothing; waking up is no new start.
_folder, _gave_up = _slot(_cause not in (machine.SOFT_RESET, machine.DEEPSLEEP_RESET))
if _folder:
    sys.path.insert(0, _folder)
_memory = machine.RTC().memory()
crash_count = _memory[5] if len(_memory) == 6 and _memory[:5] == CRASH_MARK and not _gave_up else 0
if _gave_up:
    machine.RTC().memory(b"")
if _cause == machine.WDT_RESET and not _gave_up:
    # main.py, which counts the others, has not seen this one.
    crash_count = min(crash_count + 1, 255)
    machine.RTC().memory(CRASH_MARK + bytes([crash_count]))
SAFE_MODE = crash_count >= CRASHES_BEFORE_SAFE_MODE or (_cause != machine.DEEPSLEEP_RESET and _button_held())
if SAFE_MODE:
    # The next reset tries the app again.
    machine.RTC().memory(b"")
    print("boot: safe mode, nothing is measured; reset to start the app")
feeder = keep_fed() if _cause == machine.SOFT_RESET else None
# main.py shares this namespace, and stays for good.
del _slot, _button_held, _cause, _folder, _gave_up, _memory
