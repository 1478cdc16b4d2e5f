"""The link over Bluetooth Low Energy: the one place that knows aioble. docs/protocol.md lists each call.

In a window (windows.py says when) the device advertises. In one of WINDOW_MS a host may pair (LE Secure Connections,
Just Works, bonded), one host a window; in one of QUIET_WINDOW_MS nobody can. After a link to a bonded host has ended,
the device advertises for RESUME_MS more, so that a dropped sync can go on; nobody can pair then either.

Requests of a peer that is not trusted (trust.py) are not answered, the status is empty, and its link is ended after
TRUST_MS, or at once where it was refused.

Without aioble, or whatever else the radio does, it stays off, says so, and everything else runs. Cut into modules of
such a size (gatt.py, peer.py, trust.py) that a small heap in use can load one after the other.
"""

import asyncio
import gc
import json
import sys

from micropython import const

from firmware import load_seldom
from firmware.link import packets, protocol
from firmware.link.cadence import Cadence
from firmware.link.peer import MTU, PeerGone
from firmware.link.trust import Trust
from firmware.link.windows import IDLE_MS, QUIET_WINDOW_MS, RESUME_MS, TRUST_MS, WINDOW_MS

_ADVERTISE_US = const(250_000)
_LAST_WORD_MS = const(100)
_MAX_VALUE_BYTES = const(512)
_COLLECT_EVERY_BYTES = const(4096)

_NO_INPUT_OUTPUT = const(3)


class RadioLink:
    """device: see Session. bonds: Bonds. now_ms: uptime function. play(pattern): as CuePlayer has it."""

    def __init__(self, device, bonds, now_ms, play):
        self._device = device
        self._now_ms = now_ms
        self._play = play
        self._advertise_until_ms = 0
        self._services = None
        self._wanted = asyncio.Event()
        self._changed = asyncio.ThreadSafeFlag()
        self._trust = Trust(bonds, now_ms, self._changed)
        self._aioble = None
        self._on = False
        steps_per_contact = 2 if device.settings["placement"] == "shoe" else 1
        self.cadence = Cadence(steps_per_contact, device.settings)

    def open_window(self, pairing):
        """Advertise for a while from now on; with `pairing` for longer, and one host may pair."""
        until_ms = self._now_ms() + (WINDOW_MS if pairing else QUIET_WINDOW_MS)
        self._advertise_until_ms = max(self._advertise_until_ms, until_ms)
        if pairing:
            self._trust.pairing_until_ms = until_ms
        if not self._on:
            self._wanted.set()
        elif pairing:
            self._play("pairing_open")

    @property
    def busy(self):
        """Whether it is on, or about to be."""
        return self._on or self._wanted.is_set()

    def dismiss(self, bond):
        """A host's bond was removed: end its link, if it has one."""
        self._trust.dismiss(bond)

    # -- what depends on more than aioble documents (and _protect() of gatt.py) ----------------------------

    def _load(self):
        """Import aioble at its first use; False, with the reason printed, if the radio can't be used."""
        if self._aioble is not None:
            return True
        # Collecting often while modules load keeps what stays together, as in main.py.
        gc.collect()
        threshold = gc.threshold()
        gc.threshold(_COLLECT_EVERY_BYTES)
        try:
            import aioble
            from aioble import core
        except ImportError as absent:
            print("radio: off (%s); `mpremote mip install aioble` makes it work" % absent)
            return False
        finally:
            gc.collect()
            gc.threshold(threshold)
        if not hasattr(core, "register_irq_handler"):
            print("radio: off; this aioble has no core.register_irq_handler, which bonding needs")
            return False
        # Before anything switches the radio on: aioble.security, where it is installed, registers a handler for
        # the same secrets then, and the first one to answer counts.
        core.register_irq_handler(self._trust.on_event, None)
        self._aioble = aioble
        return True

    # -- windows and links ------------------------------------------------------------------------------

    async def run(self):
        """Open the radio when it is wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                if self._load():
                    await self._window()
            except Exception as failure:
                # Steps must go on being counted, whatever a radio and its library do.
                print("radio: off until the next window:")
                sys.print_exception(failure)

    def close(self):
        """Switch the radio off: before a planned end of the app."""
        if self._on:
            self._on = False
            self._aioble.stop()

    async def _window(self):
        """From switching the radio on to switching it off again."""
        aioble = self._aioble
        self._on = True
        try:
            aioble.config(
                gap_name=packets.NAME, mtu=MTU, bond=True, le_secure=True, mitm=False, io=_NO_INPUT_OUTPUT
            )
            self._services = self._register(aioble)
            await self._serve(aioble)
        finally:
            self._trust.peer = self._services = None
            self.close()

    def _register(self, aioble):
        """The services, by gatt.py: loaded for it, and not kept."""
        gc.collect()
        return load_seldom("link.gatt").register(aioble, self._device.status()["battery_mv"])

    async def _serve(self, aioble):
        """Advertise and attend to one link after the other, until the window is over."""
        if self._trust.may_pair:
            self._play("pairing_open")
        answering = asyncio.create_task(self._answer_requests())
        try:
            while self._now_ms() < self._advertise_until_ms:
                try:
                    connection = await aioble.advertise(
                        _ADVERTISE_US,
                        name=packets.NAME,
                        services=[self._services.uuid],
                        timeout_ms=self._advertise_until_ms - self._now_ms(),
                    )
                except asyncio.TimeoutError:
                    continue
                await self._attend(connection)
        finally:
            answering.cancel()

    async def _attend(self, connection):
        """One link, from its begin to its end."""
        peer = self._trust.peer
        if peer is None:
            # It has ended already.
            return
        peer.connection = connection
        trust_due_ms = self._now_ms() + TRUST_MS
        told = False
        while not peer.gone:
            self._trust.save()
            due_ms = peer.heard_ms + IDLE_MS if peer.trusted else trust_due_ms
            if peer.refused or self._now_ms() >= due_ms:
                print("radio: a peer was sent away:", "idle" if peer.served else "not bonded")
                if peer.leaving:
                    # The answer to a host that has removed its own bond is still on its way.
                    await asyncio.sleep_ms(_LAST_WORD_MS)
                await self._send_away(connection)
                break
            if peer.trusted != told:
                told = peer.trusted
                try:
                    self._show(told)
                except MemoryError:
                    # They stay empty; the same can be asked for by requests.
                    gc.collect()
                if told and peer.paired_until_ms >= 0:
                    self._play("paired")
            try:
                await asyncio.wait_for_ms(self._changed.wait(), max(due_ms - self._now_ms(), 1))
            except asyncio.TimeoutError:
                pass
        self._trust.save()
        self._show(False)
        self._trust.ended(peer)
        if told:
            self._advertise_until_ms = max(self._advertise_until_ms, self._now_ms() + RESUME_MS)

    def _show(self, trusted):
        """What can be read without asking: status and settings as they are now, to a trusted host only."""
        status = settings = b""
        if trusted:
            status = protocol.encode_fields(self._device.status())
            settings = json.dumps(self._device.settings.shown()).encode()
        self._services.status.write(status)
        # No value can be longer; the SETTINGS request has no such limit.
        self._services.settings.write(settings if len(settings) <= _MAX_VALUE_BYTES else b"")

    async def _send_away(self, connection):
        try:
            await connection.disconnect()
        except (asyncio.TimeoutError, OSError) as error:
            print("radio: the link did not end (%r)" % error)

    # -- messages ---------------------------------------------------------------------------------------

    async def _answer_requests(self):
        """Answer what trusted hosts write, one after the other, for ever."""
        services = self._services
        while True:
            connection, packet = await services.request.written()
            peer = self._trust.peer
            if peer is not None:
                await peer.pace()
            # A write of a link that is gone meanwhile must not be answered to the next one.
            if peer is None or peer.connection is not connection or not peer.served:
                continue
            peer.heard_ms = self._now_ms()
            try:
                message = peer.inbox.add(packet)
                if message is None:
                    continue
                # A host that has had an answer counts on its bond.
                self._trust.save()
                session = peer.open_session(self._device)
                await session.handle(message, lambda answer, peer=peer: peer.send(services.data, answer))
            except PeerGone:
                # The host asks again when it is back.
                self._changed.set()
            except (MemoryError, OSError) as failure:
                # The host asks again after a time; the walk that is being counted must not pay for it.
                print("radio: a request was dropped:", failure)
                gc.collect()

    def live(self, message):
        """Tell a trusted host of a step or a cue, if it wants to know."""
        peer = self._trust.peer
        if peer is not None and peer.served:
            # Updates go to those who have subscribed.
            self._services.live.write(message, send_update=True)
            if peer.wants_live:
                peer.tell(self._services.data, message)

    def tell_cadence(self):
        """Tell a trusted app the cadence, if it wants to know."""
        if self._trust.peer is not None and self._trust.peer.served:
            self._services.cadence.write(self.cadence.measurement(self._now_ms()), send_update=True)
