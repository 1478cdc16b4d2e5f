"""The pace: a short beat for each step while walking backward. Loaded when a bout begins and a pace is set.

Eight beats, then as long again without: that is enough to walk by, and half of it is quiet. It also makes sure that
the motor's own shaking, which the sensor feels, can never pass for a walk that goes on.
"""

import asyncio

from micropython import const

_BEATS = const(8)


async def beat(cues, now_ms, steps_per_min):
    """Beat until cancelled, on a grid that does not drift; a beat that would fall into another pattern is left out.

    cues: CuePlayer. now_ms: uptime function.
    """
    began_ms = now_ms()
    beats = 0
    while True:
        if not cues.playing and beats % (2 * _BEATS) < _BEATS:
            cues.play("pace")
        late_ms = now_ms() - began_ms
        beats = late_ms * steps_per_min // 60_000 + 1
        await asyncio.sleep_ms(beats * 60_000 // steps_per_min - late_ms)
