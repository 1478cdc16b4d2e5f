"""A new application over the link: taken file by file into the spare slot, verified, started on trial.

The host signs a manifest, text: a line "retrostep-update VERSION MPY", then "SIZE SHA256 PATH" of each file of the
slot. MPY is sys.implementation._mpy, so that machine code for another processor is refused. The signature is
HMAC-SHA-256 (RFC 2104) with the key that a host set when it paired (setting update_key). Nothing of an unsigned
manifest is obeyed, and no file counts before its hash is right; so neither a broken link nor a power cut, nor whoever
sends something else, does more than fill the spare slot. What has arrived is kept: the host asks where to go on.

Requests, the body of protocol.UPDATE: u8 action, then

    ASK       -
    MANIFEST  u32 offset, bytes; offset 0 begins a new manifest
    START     32 bytes, the signature of the manifest
    DATA      u16 number of the file, u32 offset, bytes
    FINISH    -: the device switches, and restarts 2 s later

While the state is COPYING the device takes one file after the other from the good slot, one for each ASK, so that
the sensor's FIFO does not overflow meanwhile. Each request is answered with u8 state, u32 bytes of the manifest that
are here, u16 number of the file and u32 offset of the bytes that are wanted next, u16 MPY. Everything may be
repeated. Loaded for the first request, forgotten when idle.
"""

import hashlib
import os
import struct
import sys
from binascii import hexlify, unhexlify

from micropython import const

from firmware import slots

NONE, OPENED, COPYING, TAKING, COMPLETE, SWITCHED = range(6)
ASK, MANIFEST, START, DATA, FINISH = range(5)
HEAD = "retrostep-update"
MANIFEST_LIMIT_BYTES = const(16_384)

_MANIFEST = "/update"
_BLOCK = const(1024)
_FLUSH_BYTES = const(4096)
# Left free beside the new files: the log goes on meanwhile.
_SPARE_BYTES = const(32_768)
_HASH_BLOCK = const(64)


def _blocks(path):
    """The content of a file, a block at a time; the memoryview is used again."""
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb") as file:
        while True:
            count = file.readinto(block)
            if not count:
                return
            yield block[:count]


def _sha256(path):
    sha = hashlib.sha256()
    try:
        for block in _blocks(path):
            sha.update(block)
    except OSError:
        return None
    return hexlify(sha.digest()).decode()


def _signature(key, path):
    """HMAC-SHA-256 of a file."""
    key = key + bytes(_HASH_BLOCK - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]))
    for block in _blocks(path):
        inner.update(block)
    return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + inner.digest()).digest()


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _walk(folder):
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in entries:
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            for below in _walk(path):
                yield below
        else:
            yield path


def _make_folders(path):
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            # It is there; if it is not, opening the file says so.
            pass
        at = path.find("/", at + 1)


class Updater:
    """key: of the signature, as hex text, or None. restart(): the device starts anew soon. heard_ms: by the owner."""

    def __init__(self, key, restart):
        self._key = key
        self._restart = restart
        self._state = OPENED if _size(_MANIFEST) else NONE
        self._number = 0
        self._offset = 0
        self._file = None
        self._unflushed = 0
        self.heard_ms = 0

    def answer(self, body):
        """The body of the answer to a request. Raises ValueError (refused; says why) or OSError."""
        action = body[0] if body else ASK
        if action == MANIFEST:
            self._take_manifest(*struct.unpack_from("<I", body, 1), body[5:])
        elif action == START:
            self._start(bytes(body[1:]))
        elif action == DATA:
            self._take(*struct.unpack_from("<HI", body, 1), body[7:])
        elif action == FINISH:
            self._finish()
        elif action == ASK:
            if self._state == COPYING:
                self._seek(self._number)
        else:
            raise ValueError("update: expected action 0 to 4, got %d" % action)
        return struct.pack(
            "<BIHIH",
            self._state,
            _size(_MANIFEST),
            self._number,
            self._offset,
            sys.implementation._mpy & 0xFFFF,
        )

    def close(self):
        """Keep what has arrived."""
        if self._file:
            self._file.close()
            self._file = None

    def _take_manifest(self, offset, piece):
        if offset == 0:
            self.close()
            self._state = OPENED
        elif self._state != OPENED or offset != _size(_MANIFEST):
            # A repetition, or a piece of another time; the answer says what is here.
            return
        if offset + len(piece) > MANIFEST_LIMIT_BYTES:
            raise ValueError("update: expected a manifest of at most %d bytes" % MANIFEST_LIMIT_BYTES)
        with open(_MANIFEST, "ab" if offset else "wb") as file:
            file.write(piece)

    def _start(self, signature):
        if self._key is None:
            raise ValueError("update: no key is set here: pair again, or set update_key")
        if self._state == NONE:
            raise ValueError("update: expected the manifest first")
        expected = _signature(unhexlify(self._key), _MANIFEST)
        different = len(signature) ^ len(expected)
        for ours, theirs in zip(expected, signature):
            different |= ours ^ theirs
        if different:
            raise ValueError("update: the manifest is not signed with this device's key")
        active, good = slots.read()[:2]
        if active != good:
            raise ValueError(
                "update: the last one is still on trial; ask again when it has measured for 5 minutes"
            )
        self.close()
        self._check_head()
        self._make_room()
        self._seek(0)

    def _check_head(self):
        with open(_MANIFEST) as file:
            head = file.readline().split()
        if len(head) != 3 or head[0] != HEAD:
            raise ValueError("update: the manifest is none of Retrostep")
        if int(head[2]) != sys.implementation._mpy & 0xFFFF:
            raise ValueError(
                "update: built for MicroPython %s, this is %d" % (head[2], sys.implementation._mpy & 0xFFFF)
            )

    def _files(self):
        """(path in the slot, size, hash) of each file of the manifest."""
        with open(_MANIFEST) as file:
            file.readline()
            for line in file:
                size, sha, path = line.split()
                if path.startswith("/") or ".." in path:
                    raise ValueError("update: a path outside the slot: %s" % path)
                yield path, int(size), sha

    def _path(self, name):
        return "/" + slots.spare() + "/" + name

    def _make_room(self):
        """Remove what does not belong into the slot; see that the rest will fit."""
        for path in _walk("/" + slots.spare()):
            name = path.split("/", 2)[2]
            # Looked up in the file each time: all its paths at once would not fit a scattered heap.
            if not any(size >= _size(path) for wanted, size, _ in self._files() if wanted == name):
                os.remove(path)
        needed = 0
        for name, size, _ in self._files():
            needed += size + _BLOCK - _size(self._path(name))
        room = os.statvfs("/")
        free = room[1] * room[3] - _SPARE_BYTES
        if needed > free:
            raise ValueError(
                "update: expected %d kB free, found %d: sync, then erase the log"
                % (needed // 1000, free // 1000)
            )

    def _copied(self, name, sha):
        """True if the good application has the same file: it is in the slot now."""
        good = slots.read()[1]
        source = ("" if good == slots.ROOT else "/" + good) + "/" + name
        if _sha256(source) != sha:
            return False
        path = self._path(name)
        _make_folders(path)
        with open(path, "wb") as target:
            for block in _blocks(source):
                target.write(block)
        return True

    def _seek(self, number):
        """Go on at the first file from `number` on that is not whole."""
        for at, (name, size, sha) in enumerate(self._files()):
            if at < number:
                continue
            path = self._path(name)
            have = _size(path)
            if have == size and _sha256(path) == sha:
                continue
            if self._copied(name, sha):
                self._number, self._offset, self._state = at + 1, 0, COPYING
                return
            if have and have >= size:
                # Whole, and wrong.
                os.remove(path)
                have = 0
            self._number, self._offset, self._state = at, have, TAKING
            return
        self._number, self._offset, self._state = 0xFFFF, 0, COMPLETE

    def _take(self, number, offset, piece):
        if self._state != TAKING or number != self._number or offset != self._offset:
            return
        name, size = self._entry(number)
        if self._file is None:
            path = self._path(name)
            _make_folders(path)
            self._file = open(path, "ab")
        piece = piece[: size - offset]
        self._file.write(piece)
        self._offset += len(piece)
        self._unflushed += len(piece)
        if self._offset == size:
            self.close()
            # If it is damaged, it is wanted again.
            self._seek(number)
        elif self._unflushed >= _FLUSH_BYTES:
            self._file.flush()
            self._unflushed = 0

    def _entry(self, number):
        for at, (name, size, _) in enumerate(self._files()):
            if at == number:
                return name, size
        raise ValueError("update: no file %d in the manifest" % number)

    def _finish(self):
        if self._state == SWITCHED:
            return
        if self._state == COMPLETE:
            # Once more, all of it: hours may have passed.
            self._seek(0)
        if self._state != COMPLETE:
            raise ValueError("update: not all files are here")
        slots.start_trial(slots.spare())
        os.remove(_MANIFEST)
        self._state = SWITCHED
        self._restart()
