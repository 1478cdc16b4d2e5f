"""Starts the app. A crash is kept in /crash.log and the device restarts; Ctrl-C leaves the REPL to mpremote."""

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
    """Tell boot.py, through RTC memory, that the app crashed once more."""
    mark, count = globals().get("CRASH_MARK", b"crash"), globals().get("crash_count", 0)
    machine.RTC().memory(mark + bytes([min(count + 1, 255)]))


if not globals().get("SAFE_MODE", False):
    gc.threshold(COLLECT_EVERY_BYTES)
    try:
        from firmware.app import run

        run()
    except KeyboardInterrupt:
        print("main: stopped by Ctrl-C; Ctrl-D starts again")
    except Exception as crash:
        import time

        _keep(crash)
        _count_crash()
        time.sleep_ms(RESTART_DELAY_MS)
        machine.reset()
