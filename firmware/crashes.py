"""Crashes become records of the log: what main.py kept of one is read at the next start, and not told twice.

A device that crashes every minute must not fill its log with one traceback: a crash like the last one is told again
only when its count is a power of two. The last one and its count are in /crash.told.
"""

import os

from journal import write_atomically

LOG = "/crash.log"
TOLD = "/crash.told"
# What fits one record; the end of a traceback says the most.
TEXT_LIMIT_BYTES = 440


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def take():
    """(count, text as bytes) of a crash that the log shall tell, or None. Forgets what main.py kept."""
    text = _read(LOG)
    if not text:
        return None
    # The newest, if several are there.
    text = text[max(text.rfind(b"Traceback"), len(text) - TEXT_LIMIT_BYTES, 0) :].strip()
    count, _, last = _read(TOLD).partition(b"\n")
    count = int(count) + 1 if last == text and count.isdigit() else 1
    try:
        write_atomically(TOLD, b"%d\n%s" % (count, text))
        os.remove(LOG)
    except OSError as full:
        print("crashes: not remembered:", full)
    return (count, text) if count & (count - 1) == 0 else None
