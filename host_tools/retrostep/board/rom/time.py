"""Double of the module `time` as the ESP32 port has it, on the board's virtual clock.

Epoch 2000-01-01 UTC, ticks count from the last boot (not from a soft reset) and wrap at 2**30.
Source: MicroPython documentation, library `time`.
"""

import utime
from micropython import const
from virtual import clock

_WRAP = const(1 << 30)
_EPOCH_2000_S = const(946684800)


def ticks_ms():
    clock.look()
    return ((clock.now_us - clock.boot_us) // 1000) & (_WRAP - 1)


def ticks_us():
    clock.look()
    return (clock.now_us - clock.boot_us) & (_WRAP - 1)


def ticks_cpu():
    return ticks_us()


def ticks_add(ticks, delta):
    if not -(_WRAP >> 1) <= delta < (_WRAP >> 1):
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & (_WRAP - 1)


def ticks_diff(end, start):
    return ((end - start + (_WRAP >> 1)) & (_WRAP - 1)) - (_WRAP >> 1)


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    clock.wait(clock.now_us + int(seconds * 1000000))


def sleep_ms(ms):
    if ms > 0:
        clock.wait(clock.now_us + int(ms) * 1000)


def sleep_us(us):
    if us > 0:
        clock.wait(clock.now_us + int(us))


def time():
    return time_ns() // 1000000000


def time_ns():
    clock.look()
    return (clock.now_us + clock.rtc_offset_us) * 1000


def gmtime(seconds=None):
    if seconds is None:
        seconds = time()
    return utime.gmtime(int(seconds) + _EPOCH_2000_S)[:8]


def localtime(seconds=None):
    return gmtime(seconds)


def mktime(date):
    return int(utime.mktime(tuple(date[:8]) + (0,))) - _EPOCH_2000_S
