"""The board's virtual clock, in microseconds since the board was first powered.

Time passes only while the firmware waits (`wait`: asyncio's idle poll, time.sleep, lightsleep) and while a bus is
busy (`spend`). While waiting it jumps from one hardware event to the next; how fast it may do so is the pace:

- an outside program has the serial port open: wall speed, whatever was asked;
- `advance` is under way: as fast as the computer can, until the target;
- otherwise the set speed: N times wall speed, 0 = stands still, None = as fast as the computer can.

At full speed nothing but the firmware and the seed decides what happens when. A hardware source is an object with
`due_us` (virtual time of its next event, or NEVER) and `fire()`, which must move `due_us` on.
"""

import sys

import uselect
import utime

from virtual import channel, ctrl_c

NEVER = 1 << 60
# A loop that only reads the clock would never end: beyond this many looks at one instant, each costs 1 us.
_FREE_LOOKS = 2000
# Request of the stream protocol: what of these events is ready?
_STREAM_POLL = 3

now_us = 0
boot_us = 0
rtc_offset_us = 0

_speed = 1.0
_outside = False
_target_us = -1
_sources = []
_firing = False
_looks = 0
_anchor_wall_us = 0
_anchor_us = 0
_own_poll = None


def start(state):
    """Take over clock and pace from the life before (see `save`)."""
    global now_us, boot_us, rtc_offset_us, _speed, _outside, _target_us, _own_poll
    now_us = state["now_us"]
    boot_us = state["boot_us"]
    rtc_offset_us = state["rtc_offset_us"]
    _speed = state["speed"]
    _outside = state["outside"]
    _target_us = state["target_us"]
    _own_poll = uselect.poll()
    _own_poll.register(channel.stream(), uselect.POLLIN)
    channel.on("speed", _on_speed)
    channel.on("outside", _on_outside)
    channel.on("advance", _on_advance)
    _anchor()


def save():
    """What the next life has to know."""
    return {
        "now_us": now_us,
        "boot_us": boot_us,
        "rtc_offset_us": rtc_offset_us,
        "target_us": _target_us,
    }


def add_source(source):
    _sources.append(source)


def remove_source(source):
    if source in _sources:
        _sources.remove(source)


def drop_sources(keep):
    """Forget every source but those in `keep`: what happens to timers and watchdog when the CPU goes down."""
    _sources[:] = [source for source in _sources if source in keep]


def _on_speed(command):
    global _speed
    _speed = command["speed"]
    _anchor()


def _on_outside(command):
    global _outside
    _outside = command["open"]
    _anchor()


def _on_advance(command):
    global _target_us
    _target_us = now_us + command["us"]


def _anchor():
    """Tie virtual to wall time as of now."""
    global _anchor_wall_us, _anchor_us
    _anchor_wall_us = utime.ticks_us()
    _anchor_us = now_us


def _full_speed():
    return not _outside and (_target_us >= 0 or _speed is None)


def _wall_now_us():
    """Virtual time by the wall clock at the present (not full) pace."""
    rate = 1 if _outside else _speed
    return _anchor_us + int((utime.ticks_us() - _anchor_wall_us) * rate)


def _move_to(us):
    global now_us, _looks
    if us > now_us:
        now_us = us
        _looks = 0
    _fire_due()


def _end_advance():
    """Report that `advance` is over. Only when the firmware has done all it does at this instant, and waits."""
    global _target_us
    if 0 <= _target_us <= now_us:
        _target_us = -1
        _anchor()
        channel.send({"event": "reached", "us": now_us})


def _fire_due():
    global _firing
    if _firing:
        return
    _firing = True
    try:
        while True:
            first = None
            for source in _sources:
                if source.due_us <= now_us and (first is None or source.due_us < first.due_us):
                    first = source
            if first is None:
                return
            first.fire()
    finally:
        _firing = False


def _next_us(limit_us):
    """The next instant at which something happens, at most `limit_us`."""
    for source in _sources:
        if source.due_us < limit_us:
            limit_us = source.due_us
    if 0 <= _target_us < limit_us:
        limit_us = _target_us
    return limit_us


def spend(us):
    """Let `us` pass with the CPU busy on a peripheral. Events that fall due meanwhile happen at its end."""
    _move_to(now_us + us)


def look():
    """Called at every reading of the clock: real time counts at wall pace, and busy loops must end."""
    global _looks
    if _full_speed() or (_speed == 0 and not _outside):
        _looks += 1
        if _looks > _FREE_LOOKS:
            looks = _looks
            _move_to(now_us + 1)
            _looks = looks
            _end_advance()
    else:
        _move_to(min(_wall_now_us(), _next_us(NEVER)))


def _ready(streams, objects, timeout_ms):
    """What is ready, as (object, flags); commands of the supervisor are obeyed at once and not returned."""
    ready = []
    if objects is not None:
        for entry in objects.values():
            flags = entry[0].ioctl(_STREAM_POLL, entry[1])
            if flags:
                ready.append((entry[0], flags))
        if ready:
            timeout_ms = 0
    commands = channel.stream()
    for entry in streams.ipoll(timeout_ms):
        if entry[0] is commands:
            channel.dispatch()
        else:
            ready.append((entry[0], entry[1]))
    return ready


def wait(deadline_us, streams=None, objects=None, until=None):
    """Wait until virtual time `deadline_us`, or until something is ready; returns what is.

    streams: a real poll object of descriptors, the control channel among them; objects: {id: (object, events)} of
    Python objects, which change only when the firmware or a hardware event does something. `until()` ends the
    wait when true. A Ctrl-C raises KeyboardInterrupt here.
    """
    if streams is None:
        streams = _own_poll
    while True:
        ready = _ready(streams, objects, 0)
        if ctrl_c.pending:
            ctrl_c.strike()
        if ready or now_us >= deadline_us:
            look()
            return ready
        if until and until():
            return ready
        _end_advance()
        next_us = _next_us(deadline_us)
        if next_us <= now_us:
            _move_to(now_us)
        elif _full_speed() and next_us < NEVER:
            _move_to(next_us)
        else:
            ready = _pause(streams, objects, next_us)
            if ready:
                look()
                return ready


def _pause(streams, objects, next_us):
    """Let real time pass until virtual time `next_us`, or until there is something to do."""
    if _full_speed() or (_speed == 0 and not _outside):
        # Nothing will happen by itself.
        return _ready(streams, objects, -1)
    wall_us = _wall_now_us()
    _move_to(min(wall_us, next_us))
    if wall_us >= next_us:
        return ()
    if next_us == NEVER:
        return _ready(streams, objects, -1)
    rate = 1 if _outside else _speed
    return _ready(streams, objects, int((next_us - wall_us) / rate) // 1000 + 1)


def report_unhandled(error):
    """What a device prints when an interrupt handler raises: the traceback, and life goes on."""
    print("Unhandled exception in IRQ callback handler")
    sys.print_exception(error)


def deadline_us(timeout_ms):
    """End of a time-out in whole ticks: the instant at which ticks_ms() reads now + timeout_ms."""
    since_boot_us = now_us - boot_us
    return now_us if timeout_ms == 0 else boot_us + (since_boot_us // 1000 + timeout_ms) * 1000
