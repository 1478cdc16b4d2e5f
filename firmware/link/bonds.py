"""The bonds of the radio, kept in one file: at most LIMIT peers, the oldest goes first.

The Bluetooth stack hands over secrets of some kind for some key, and asks for them again; what is in them is its own
affair. A peer is a key; its secrets of all kinds live and go together. The file is JSON, [[kind, key, value], ...] in
hex, in the order in which the peers came; it is replaced as a whole, so that a power cut leaves the old or the new.
"""

import json
from binascii import hexlify, unhexlify

from journal import write_atomically

LIMIT = 4


class Bonds:
    """The secrets in the file at `path`; a damaged file counts as none, and says so."""

    def __init__(self, path):
        self._path = path
        self._secrets = []
        self.changed = False
        try:
            with open(path) as file:
                stored = json.load(file)
            self._secrets = [(kind, unhexlify(key), unhexlify(value)) for kind, key, value in stored]
        except OSError:
            # No file: nobody has been paired.
            return
        except (ValueError, TypeError):
            print("bonds: %s can't be read; pair again" % path)

    def __len__(self):
        """How many peers are bonded."""
        return len(self.peers())

    def peers(self):
        """The key of each bonded peer, the one that came first in front."""
        peers = []
        for _, key, _ in self._secrets:
            if key not in peers:
                peers.append(key)
        return peers

    def forget(self, key):
        """Drop all secrets of a peer; save() makes it last."""
        self._secrets = [secret for secret in self._secrets if secret[1] != key]
        self.changed = True

    def get(self, kind, index, key):
        """The secret of that kind for `key`, or the index-th of that kind if key is None; None if there is none."""
        for stored_kind, stored_key, value in self._secrets:
            if stored_kind == kind:
                if key is None:
                    if index == 0:
                        return value
                    index -= 1
                elif stored_key == key:
                    return value
        return None

    def put(self, kind, key, value):
        """Keep a secret (value None: forget it); save() makes it last."""
        self._secrets = [secret for secret in self._secrets if secret[:2] != (kind, key)]
        if value is not None:
            others = [peer for peer in self.peers() if peer != key]
            while len(others) >= LIMIT:
                self.forget(others.pop(0))
            self._secrets.append((kind, key, value))
        self.changed = True

    def save(self):
        """Write the file if anything changed. Raises OSError."""
        if self.changed:
            rows = [
                (kind, hexlify(key).decode(), hexlify(value).decode()) for kind, key, value in self._secrets
            ]
            write_atomically(self._path, json.dumps(rows).encode())
            self.changed = False
