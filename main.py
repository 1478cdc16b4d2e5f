"""Starts the app. A crash is kept in /crash.log and the device restarts; Ctrl-C leaves the REPL to mpremote.

What boot.py decided (SAFE_MODE, crash_count ...) is in this namespace; without it, too, the app starts.
"""

import gc
import sys

import machine

CRASH_LOG = "/crash.log"
CRASH_LOG_LIMIT_BYTES = 4096
RESTART_DELAY_MS = 2000
# While the modules load, collecting early keeps what stays together: without it they lie scattered over the heap,
# and the largest free piece is a twentieth of what is free.
COLLECT_EVERY_BYTES = 16_384


def _keep(error):
    """Append the traceback; a log that has grown past its limit starts anew."""
    import os

    try:
        too_long = os.stat(CRASH_LOG)[6] > CRASH_LOG_LIMIT_BYTES
    except OSError:
        too_long = False
    try:
        with open(CRASH_LOG, "w" if too_long else "a") as log:
            sys.print_exception(error, log)
    except OSError as full:
        print("main: the crash could not be kept:", full)
    sys.print_exception(error)


def _count_crash():
    """Tell boot.py, through RTC memory, that the app crashed once more since its last healthy minute."""
    mark, memory = globals().get("CRASH_MARK", b"crash"), machine.RTC().memory()
    count = memory[-1] if memory[:-1] == mark else 0
    machine.RTC().memory(mark + bytes([min(count + 1, 255)]))


def _leave_to_repl():
    """The watchdog, which nothing can stop, must not end what is done in the REPL."""
    keep_fed = globals().get("keep_fed")
    if keep_fed:
        keep_fed()


def _start(safe):
    # From here on an application that hangs, while it loads or later, is a reset.
    machine.WDT(timeout=globals().get("WATCHDOG_MS", 30_000))
    feeder = globals().get("feeder")
    if feeder:
        feeder.deinit()
    gc.threshold(COLLECT_EVERY_BYTES)
    try:
        from firmware.app import run

        run(safe)
    except KeyboardInterrupt:
        print("main: stopped by Ctrl-C; Ctrl-D starts again")
        _leave_to_repl()
    except Exception as crash:
        _keep(crash)
        if safe:
            # Here a restart would lead nowhere: what can be done is done by hand.
            _leave_to_repl()
            return
        import time

        _count_crash()
        time.sleep_ms(RESTART_DELAY_MS)
        machine.reset()


_start(globals().get("SAFE_MODE", False))
