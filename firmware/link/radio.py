"""The link over Bluetooth Low Energy: the one place that knows aioble. docs/protocol.md lists each call.

The radio is off until the button opens a window of WINDOW_MS. In the window the device advertises, and a host may
pair (LE Secure Connections, Just Works, bonded); one window pairs one host. After a link to a bonded host has ended,
the device advertises for RESUME_MS more, so that a dropped sync can go on; nobody can pair then.

Who is trusted: a peer whose link is encrypted, and which either paired in the window or proved that it holds the keys
of a stored bond. Requests of anybody else are not answered, the status is empty, and the link is ended after
TRUST_MS. An attempt to pair outside the window ends the link at once.

aioble is imported when the first window opens: a device whose radio is never used pays nothing for it. Without
aioble, or whatever else the radio does, it stays off, says so, and everything else runs.
"""

import asyncio
import gc
import sys
from errno import ENOMEM

from firmware import VERSION
from firmware.link import packets, protocol
from firmware.link.session import Session

WINDOW_MS = 60_000
RESUME_MS = 60_000
TRUST_MS = 10_000
_ADVERTISE_US = 250_000
_MTU = 247
_DEFAULT_MTU = 23
_BACK_OFF_MS = 5
_LAST_WORD_MS = 100
_COLLECT_EVERY_BYTES = 16_384
# A host that asks for nothing in so long keeps the radio on for nothing.
IDLE_MS = 120_000
# A host that takes nothing for so long has lost its link.
_STALLED_MS = 10_000

# Events of MicroPython's `bluetooth`, and the kinds of secrets that make a bond: how a peer knows us, and we it.
_CENTRAL_CONNECT, _CENTRAL_DISCONNECT = 1, 2
_MTU_EXCHANGED, _ENCRYPTION_UPDATE, _GET_SECRET, _SET_SECRET = 21, 28, 29, 30
_OUR_SECURITY, _PEER_SECURITY = 1, 2
_NO_INPUT_OUTPUT = 3
_FLAG_READ_ENCRYPTED = 0x0200
_FLAG_WRITE_ENCRYPTED = 0x1000

_BATTERY, _BATTERY_LEVEL = 0x180F, 0x2A19
_DEVICE_INFORMATION, _MODEL, _FIRMWARE_REVISION = 0x180A, 0x2A24, 0x2A26
# A lithium cell's charge by its voltage at rest: (mV, %).
_CHARGE = ((3300, 0), (3600, 10), (3700, 30), (3800, 55), (3950, 80), (4150, 100))


def charge_percent(battery_mv):
    """Charge of a lithium cell in %, from its voltage."""
    low_mv, low = _CHARGE[0]
    for high_mv, high in _CHARGE:
        if battery_mv <= high_mv:
            return low + max(battery_mv - low_mv, 0) * (high - low) // max(high_mv - low_mv, 1)
        low_mv, low = high_mv, high
    return 100


class _LinkEnded(Exception):
    """The host is gone in the middle of an answer."""


class _Link:
    """What is known of the one connection there is. `connection` is aioble's, None until it has handed it over."""

    def __init__(self, handle, now_ms):
        self.handle = handle
        self.heard_ms = now_ms
        self.connection = None
        self.mtu = _DEFAULT_MTU
        self.knows_secret = False
        self.trusted = False
        self.refused = False
        self.leaving = False
        self.peer = b""
        self.paired_until_ms = -1
        self.session = None
        self.inbox = packets.Assembler(protocol.MAX_REQUEST_BYTES)

    @property
    def packet_bytes(self):
        """Size of the packets that fit this link's notifications."""
        return min(self.mtu, _MTU) - packets.ATT_HEADER_BYTES

    def open_session(self, device):
        """Begin to answer, at the first request: only then is the MTU known.

        Each message with records fills one packet: nothing is left free, and no buffer is larger than that.
        """
        if self.session is None:
            message_bytes = self.packet_bytes - packets.HEADER_BYTES
            self.session = Session(device, message_bytes - protocol.MESSAGE_HEADER_BYTES, self.peer)
        return self.session


class RadioLink:
    """device: see Session. bonds: Bonds. now_ms: uptime function. on_window(): the window has opened."""

    def __init__(self, device, bonds, now_ms, on_window):
        self._device = device
        self._bonds = bonds
        self._now_ms = now_ms
        self._on_window = on_window
        self._pairing_until_ms = 0
        self._advertise_until_ms = 0
        self._link = None
        self._wanted = asyncio.Event()
        self._changed = asyncio.ThreadSafeFlag()
        self._aioble = None
        self._on = False

    def open_window(self):
        """Advertise, and let one host pair, for WINDOW_MS from now."""
        self._pairing_until_ms = self._advertise_until_ms = self._now_ms() + WINDOW_MS
        if self._on:
            self._on_window()
        else:
            self._wanted.set()

    def peers(self):
        """The key of each bonded host, the one that came first in front."""
        return self._bonds.peers()

    def forget(self, peer):
        """Remove a host's bond and end its link, if it has one. Raises OSError if that can't be stored."""
        self._bonds.forget(peer)
        self._bonds.save()
        link = self._link
        if link is not None and link.peer == peer:
            link.refused = link.leaving = True
            self._changed.set()

    @property
    def _may_pair(self):
        return self._now_ms() < self._pairing_until_ms

    # -- what depends on more than aioble documents -----------------------------------------------------

    def _load(self):
        """Import aioble at its first use; False, with the reason printed, if the radio can't be used."""
        if self._aioble is not None:
            return True
        # Collecting often while modules load keeps what stays together, as in main.py.
        gc.collect()
        gc.threshold(_COLLECT_EVERY_BYTES)
        try:
            import aioble
            from aioble import core
        except ImportError as absent:
            print("radio: off (%s); `mpremote mip install aioble` makes it work" % absent)
            return False
        finally:
            gc.collect()
            gc.threshold(-1)
        if not hasattr(core, "register_irq_handler"):
            print("radio: off; this aioble has no core.register_irq_handler, which bonding needs")
            return False
        # Before anything switches the radio on: aioble.security, where it is installed, registers a handler for
        # the same secrets then, and the first one to answer counts.
        core.register_irq_handler(self._on_event, None)
        self._aioble = aioble
        return True

    def _protect(self, characteristic, flags):
        """Only over an encrypted link: aioble has no argument for that, so the flags are added before registering."""
        characteristic.flags |= flags

    def _on_event(self, event, data):
        """What aioble does not answer or tell: secrets, encryption, MTU. Runs as an interrupt does: briefly."""
        if event == _GET_SECRET:
            kind, index, key = data
            value = self._bonds.get(kind, index, None if key is None else bytes(key))
            if value is not None and key is not None and kind == _OUR_SECURITY and self._link is not None:
                self._link.knows_secret = True
                self._link.peer = bytes(key)
            return value
        if event == _SET_SECRET:
            kind, key, value = data
            return self._keep_secret(kind, bytes(key), None if value is None else bytes(value))
        if event == _CENTRAL_CONNECT:
            self._link = _Link(data[0], self._now_ms())
        elif self._link is None or data[0] != self._link.handle:
            return None
        elif event == _CENTRAL_DISCONNECT:
            self._link = None
            self._changed.set()
        elif event == _MTU_EXCHANGED:
            self._link.mtu = data[1]
        elif event == _ENCRYPTION_UPDATE:
            _, encrypted, _, bonded, _ = data
            proven = self._link.knows_secret or self._may_pair
            self._link.trusted = bool(encrypted and bonded and proven and not self._link.refused)
            self._changed.set()
        return None

    def _keep_secret(self, kind, key, value):
        """Keep (or forget, if value is None) a secret of the stack's; bonds only in the window."""
        link = self._link
        if kind in (_OUR_SECURITY, _PEER_SECURITY):
            if not self._may_pair:
                if link is not None:
                    link.trusted = False
                    link.refused = True
                    self._changed.set()
                return False
            if link is not None and value is not None:
                link.peer = key
                link.paired_until_ms = self._pairing_until_ms
        self._bonds.put(kind, key, value)
        self._changed.set()
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
                print("radio: off until the next hold of the button:")
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
            self._declare(aioble)
            await self._serve(aioble)
        finally:
            self._link = None
            self.close()

    async def _serve(self, aioble):
        """Advertise and attend to one link after the other, until the window is over."""
        if self._may_pair:
            self._on_window()
        answering = asyncio.create_task(self._answer_requests())
        try:
            while self._now_ms() < self._advertise_until_ms:
                try:
                    connection = await aioble.advertise(
                        _ADVERTISE_US,
                        name=packets.NAME,
                        services=[self._service.uuid],
                        timeout_ms=self._advertise_until_ms - self._now_ms(),
                    )
                except asyncio.TimeoutError:
                    continue
                await self._attend(connection)
        finally:
            answering.cancel()

    def _declare(self, aioble):
        """Register the services; the radio is on afterwards."""
        from bluetooth import UUID

        aioble.config(
            gap_name=packets.NAME, mtu=_MTU, bond=True, le_secure=True, mitm=False, io=_NO_INPUT_OUTPUT
        )
        self._service = aioble.Service(UUID(packets.SERVICE))
        self._request = aioble.BufferedCharacteristic(
            self._service,
            UUID(packets.REQUEST),
            write=True,
            write_no_response=True,
            capture=True,
            max_len=packets.MAX_PACKET_BYTES,
        )
        self._data = aioble.Characteristic(self._service, UUID(packets.DATA), notify=True)
        self._status = aioble.BufferedCharacteristic(
            self._service, UUID(packets.STATUS), read=True, max_len=packets.MAX_PACKET_BYTES
        )
        self._protect(self._request, _FLAG_WRITE_ENCRYPTED)
        self._protect(self._status, _FLAG_READ_ENCRYPTED)
        battery = aioble.Service(UUID(_BATTERY))
        charge = bytes((charge_percent(self._device.status()["battery_mv"]),))
        aioble.Characteristic(battery, UUID(_BATTERY_LEVEL), read=True, initial=charge)
        information = aioble.Service(UUID(_DEVICE_INFORMATION))
        aioble.Characteristic(information, UUID(_MODEL), read=True, initial=packets.NAME.encode())
        aioble.Characteristic(information, UUID(_FIRMWARE_REVISION), read=True, initial=VERSION.encode())
        aioble.register_services(self._service, battery, information)

    async def _attend(self, connection):
        """One link, from its begin to its end."""
        link = self._link
        if link is None:
            # It has ended already.
            return
        link.connection = connection
        trust_due_ms = self._now_ms() + TRUST_MS
        told = False
        while self._link is link:
            self._save_bonds()
            due_ms = link.heard_ms + IDLE_MS if link.trusted else trust_due_ms
            if link.refused or self._now_ms() >= due_ms:
                why = "idle" if link.trusted and not link.refused else "not bonded"
                print("radio: a peer was sent away:", why)
                if link.leaving:
                    # The answer to a host that has removed its own bond is still on its way.
                    await asyncio.sleep_ms(_LAST_WORD_MS)
                await self._send_away(connection)
                break
            if link.trusted != told:
                told = link.trusted
                self._status.write(protocol.encode_fields(self._device.status()) if told else b"")
            try:
                await asyncio.wait_for_ms(self._changed.wait(), max(due_ms - self._now_ms(), 1))
            except asyncio.TimeoutError:
                pass
        self._save_bonds()
        self._status.write(b"")
        if link.paired_until_ms == self._pairing_until_ms:
            # One window makes one bond.
            self._pairing_until_ms = 0
        if told:
            self._advertise_until_ms = max(self._advertise_until_ms, self._now_ms() + RESUME_MS)

    async def _send_away(self, connection):
        try:
            await connection.disconnect()
        except (asyncio.TimeoutError, OSError) as error:
            print("radio: the link did not end (%r)" % error)

    def _save_bonds(self):
        try:
            self._bonds.save()
        except OSError as full:
            print("radio: the bond holds until the next reset; it could not be stored:", full)

    # -- messages ---------------------------------------------------------------------------------------

    async def _answer_requests(self):
        """Answer what trusted hosts write, one after the other, for ever."""
        while True:
            connection, packet = await self._request.written()
            link = self._link
            # A write of a link that is gone meanwhile must not be answered to the next one.
            if link is None or link.connection is not connection or not link.trusted or link.refused:
                continue
            link.heard_ms = self._now_ms()
            message = link.inbox.add(packet)
            if message is None:
                continue
            session = link.open_session(self._device)
            # A host that has had an answer counts on its bond.
            self._save_bonds()
            try:
                await session.handle(message, lambda answer, link=link: self._send(link, answer))
            except _LinkEnded:
                # The host asks again when it is back.
                continue
            except (MemoryError, OSError) as failure:
                # The host asks again after a time; the walk that is being counted must not pay for it.
                print("radio: a request was dropped:", failure)
                gc.collect()

    async def _send(self, link, message):
        """Send one message, waiting for buffers where none is free. Raises _LinkEnded."""
        for packet in packets.split_message(message, link.packet_bytes):
            give_up_ms = self._now_ms() + _STALLED_MS
            while not self._notify(link, packet):
                if self._now_ms() >= give_up_ms:
                    link.refused = True
                    self._changed.set()
                    raise _LinkEnded
                await asyncio.sleep_ms(_BACK_OFF_MS)
            # Between two packets the sampler gets its turn.
            await asyncio.sleep_ms(0)

    def _notify(self, link, packet):
        """Hand one packet to the stack; False if no buffer is free. Raises _LinkEnded."""
        if self._link is not link or not link.trusted or not link.connection.is_connected():
            raise _LinkEnded
        try:
            self._data.notify(link.connection, packet)
        except OSError as error:
            if error.errno != ENOMEM:
                raise _LinkEnded
            return False
        return True

    def live_step(self, contact_ms, direction, confidence, stability):
        """Tell a listening host of one settled step; dropped if the radio is busy: the log has it anyway."""
        link = self._link
        if link is None or link.session is None or link.refused:
            return
        message = link.session.live_step(contact_ms, direction, confidence, stability)
        if message:
            (packet,) = packets.split_message(message, link.packet_bytes)
            try:
                self._notify(link, packet)
            except _LinkEnded:
                return
