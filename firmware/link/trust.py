"""Who may ask the radio for anything: the events of the Bluetooth stack that aioble does not hand on, and the bonds.

Trusted is a peer whose link is encrypted, and which either paired in the window or proved that it holds the keys of a
stored bond. An attempt to pair at any other time, and one that fails, refuse the peer.
"""

from micropython import const

from firmware.link.peer import Peer

# Events of MicroPython's `bluetooth`, and the kinds of secrets that make a bond: how a peer knows us, and we it.
_CENTRAL_CONNECT, _CENTRAL_DISCONNECT = const(1), const(2)
_MTU_EXCHANGED, _ENCRYPTION_UPDATE, _GET_SECRET, _SET_SECRET = const(21), const(28), const(29), const(30)
_OUR_SECURITY, _PEER_SECURITY = const(1), const(2)


class Trust:
    """bonds: Bonds. now_ms: uptime function. changed: ThreadSafeFlag, set when a peer's state is another.

    peer: the one connection there is, or None. pairing_until_ms: until then one host may pair.
    """

    def __init__(self, bonds, now_ms, changed):
        self._bonds = bonds
        self._now_ms = now_ms
        self._changed = changed
        self.peer = None
        self.pairing_until_ms = 0

    @property
    def may_pair(self):
        """Whether a host may pair now."""
        return self._now_ms() < self.pairing_until_ms

    def dismiss(self, bond):
        """A host's bond was removed: its link is to end, if it has one."""
        peer = self.peer
        if peer is not None and peer.bond == bond:
            peer.refused = peer.leaving = True
            self._changed.set()

    def ended(self, peer):
        """The link to `peer` is over: one window makes one bond."""
        if peer.paired_until_ms == self.pairing_until_ms:
            self.pairing_until_ms = 0

    def save(self):
        """Make the bonds last, if there is a new one."""
        try:
            self._bonds.save()
        except OSError as full:
            print("radio: the bond holds until the next reset; it could not be stored:", full)

    def on_event(self, event, data):
        """For aioble.core.register_irq_handler(). Runs as an interrupt does: briefly."""
        peer = self.peer
        if event == _GET_SECRET:
            kind, index, key = data
            key = None if key is None else bytes(key)
            value = self._bonds.get(kind, index, key)
            if value is not None and key is not None and kind == _OUR_SECURITY and peer is not None:
                peer.knows_secret = True
                peer.bond = key
            return value
        if event == _SET_SECRET:
            kind, key, value = data
            return self._keep_secret(kind, bytes(key), None if value is None else bytes(value))
        if event == _CENTRAL_CONNECT:
            self.peer = Peer(data[0], self._now_ms)
        elif peer is None or data[0] != peer.handle:
            return None
        elif event == _CENTRAL_DISCONNECT:
            peer.gone = True
            self.peer = None
            self._changed.set()
        elif event == _MTU_EXCHANGED:
            peer.mtu = data[1]
        elif event == _ENCRYPTION_UPDATE:
            _, encrypted, _, bonded, _ = data
            if not encrypted:
                # A pairing, or the proof of a bond, has failed.
                peer.refused = True
            peer.trusted = bool(encrypted and bonded and (peer.knows_secret or self.may_pair))
            self._changed.set()
        return None

    def _keep_secret(self, kind, key, value):
        """Keep (or forget, if value is None) a secret of the stack's; bonds only in the window."""
        peer = self.peer
        if kind in (_OUR_SECURITY, _PEER_SECURITY):
            if not self.may_pair:
                if peer is not None:
                    peer.trusted = False
                    peer.refused = True
                    self._changed.set()
                return False
            if peer is not None and value is not None:
                peer.bond = key
                peer.paired_until_ms = self.pairing_until_ms
        self._bonds.put(kind, key, value)
        self._changed.set()
        return True
