"""Double of the module `select`: the same poll objects, but their time-outs pass on the virtual clock.

asyncio's idle wait is one `ipoll` call, so this is also what lets an idle board jump through time.
"""

import uselect
from virtual import channel, clock

POLLIN = uselect.POLLIN
POLLOUT = uselect.POLLOUT
POLLERR = uselect.POLLERR
POLLHUP = uselect.POLLHUP


class poll:  # noqa: N801
    """As select.poll. `ipoll` returns a list instead of a reused tuple.

    Objects of Python (asyncio's flags) are asked here, not by the interpreter's poll: that would let a
    millisecond of real time pass at every look.
    """

    def __init__(self):
        self._streams = uselect.poll()
        # The supervisor's commands must end a wait as well; clock.wait() keeps them from the caller.
        self._streams.register(channel.stream(), POLLIN)
        self._objects = {}

    def register(self, stream, events=POLLIN | POLLOUT):
        if hasattr(stream, "fileno"):
            self._streams.register(stream, events)
        else:
            self._objects[id(stream)] = (stream, events)

    def unregister(self, stream):
        if self._objects.pop(id(stream), None) is None:
            self._streams.unregister(stream)

    def modify(self, stream, events):
        if id(stream) in self._objects:
            self._objects[id(stream)] = (stream, events)
        else:
            self._streams.modify(stream, events)

    def poll(self, timeout_ms=-1):
        return self.ipoll(timeout_ms)

    def ipoll(self, timeout_ms=-1, flags=0):
        if flags:
            raise NotImplementedError("virtual board: ipoll's one-shot flag; use modify()")
        deadline_us = clock.NEVER if timeout_ms < 0 else clock.deadline_us(timeout_ms)
        return clock.wait(deadline_us, self._streams, self._objects)
