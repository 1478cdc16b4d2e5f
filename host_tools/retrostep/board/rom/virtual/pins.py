"""The board's GPIO nets: what the chip drives, what the outside drives, and the edges between."""

from virtual import channel, clock

IN, OUT, OPEN_DRAIN = 1, 3, 7
PULL_DOWN, PULL_UP = 1, 2
RISING, FALLING = 1, 2

_nets = {}
_names = {}
_irq_enabled = True
_deferred = []
# In light sleep edges are lost: only wake sources are looked at.
asleep = False


class Net:
    """One GPIO. `level()` is what a meter on the pin would show: 0 or 1."""

    def __init__(self, number):
        self.number = number
        self.name = _names.get(number, "gpio%d" % number)
        self.mode = IN
        self.pull = None
        self.out = 0
        self.outside = None
        self.handler = None
        self.trigger = 0
        self.pin = None
        self.watch = None
        self._shown = None

    def level(self):
        if self.mode == OUT or (self.mode == OPEN_DRAIN and not self.out):
            return self.out
        if self.outside is not None:
            return self.outside
        return 1 if self.pull == PULL_UP or self.mode == OPEN_DRAIN else 0

    def drive(self, level):
        """The outside drives the pin to 0 or 1, or lets go of it (None)."""
        before = self.level()
        self.outside = level
        self._edge(before)

    def configure(self, mode, pull, out):
        before = self.level()
        self.mode, self.pull, self.out = mode, pull, out
        self.show()
        self._edge(before)

    def show(self):
        """Report what an output does, once per change."""
        shown = None if self.mode == IN else self.level()
        if shown != self._shown:
            self._shown = shown
            channel.send(
                {"event": "pin", "us": clock.now_us, "pin": self.number, "name": self.name, "value": shown}
            )

    def release(self):
        """What sleep and reset do to the pin: no output, no handler. A pull stays: the RTC domain holds it."""
        self.handler = None
        self.trigger = 0
        self.configure(IN, self.pull, 0)

    def _edge(self, before):
        after = self.level()
        if before == after:
            return
        if self.watch:
            self.watch(after)
        if not asleep and self.handler and self.trigger & (RISING if after else FALLING):
            if _irq_enabled:
                self.interrupt()
            elif self not in _deferred:
                _deferred.append(self)

    def interrupt(self):
        try:
            self.handler(self.pin)
        except Exception as error:
            clock.report_unhandled(error)


def name(names):
    """Give GPIO numbers their roles: {2: "button"}."""
    _names.update(names)


def net(number):
    if number not in _nets:
        _nets[number] = Net(number)
    return _nets[number]


def irq_state(enabled):
    """Mask or unmask handlers; returns the state before. Edges missed meanwhile are delivered once."""
    global _irq_enabled
    before = _irq_enabled
    _irq_enabled = enabled
    while enabled and _deferred:
        late = _deferred.pop(0)
        if late.handler:
            late.interrupt()
    return before


def release_all():
    for one in _nets.values():
        one.release()
