"""The one button: how many short presses in a row, or one that is held.

A press that is held for HOLD_MS is no press, nor are the ones before it; if there were none, it is a hold.
"""

import asyncio

from micropython import const

HOLD_MS = 3000
# Contacts bounce for a few ms; two presses of one gesture are closer together than the second figure.
_DEBOUNCE_MS = const(30)
_NEXT_PRESS_MS = const(400)


class Button:
    """pin: machine.Pin with a pull-up, pressed = 0.

    on_presses(n): called once a gesture is over, n >= 1. on_hold(): called while the button is still held.
    busy: a gesture is under way.
    """

    def __init__(self, pin, on_presses, on_hold):
        self._pin = pin
        self._on_presses = on_presses
        self._on_hold = on_hold
        self._edge = asyncio.ThreadSafeFlag()
        self.busy = False
        pin.irq(self._on_edge, pin.IRQ_FALLING | pin.IRQ_RISING)

    def _on_edge(self, pin):
        self._edge.set()

    def wake(self):
        """Look at the pin: its edge may have been missed."""
        self._edge.set()

    async def _until(self, level):
        while self._pin.value() != level:
            await self._edge.wait()
            await asyncio.sleep_ms(_DEBOUNCE_MS)

    async def _within(self, level, limit_ms):
        """Wait for that level at most `limit_ms`; True if it came."""
        try:
            await asyncio.wait_for_ms(self._until(level), limit_ms)
        except asyncio.TimeoutError:
            return False
        return True

    async def run(self):
        """Recognise gestures for ever."""
        while True:
            self.busy = False
            await self._until(0)
            self.busy = True
            presses = 0
            while await self._within(1, HOLD_MS):
                presses += 1
                if not await self._within(0, _NEXT_PRESS_MS):
                    self._on_presses(presses)
                    break
            else:
                if not presses:
                    self._on_hold()
            await self._until(1)
