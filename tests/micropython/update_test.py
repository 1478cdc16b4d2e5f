"""The device's side of an update, fed by hand."""

import hashlib
import os
import struct
import sys
from binascii import hexlify

from ramflash import device_volume

from firmware.update import (
    ASK,
    COMPLETE,
    DATA,
    FINISH,
    HEAD,
    MANIFEST,
    START,
    SWITCHED,
    TAKING,
    Updater,
    _signature,
)

HEAP = "2M"
KEY = "5a" * 32


def test_update_with_an_empty_file_comes_to_its_end():
    device_volume()
    files = (("firmware/__init__.mpy", b""), ("firmware/app.mpy", b"code"), ("last.mpy", b""))
    manifest = "%s 0.2.0 %d\n" % (HEAD, sys.implementation._mpy & 0xFFFF)
    for name, content in files:
        manifest += "%d %s %s\n" % (len(content), hexlify(hashlib.sha256(content).digest()).decode(), name)
    restarts = []
    updater = Updater(KEY, lambda: restarts.append(1))

    def ask(body):
        return struct.unpack("<BIHIH", updater.answer(body))

    ask(bytes((MANIFEST,)) + struct.pack("<I", 0) + manifest.encode())
    state, _, number, offset, _ = ask(bytes((START,)) + _signature(bytes.fromhex(KEY), "/update"))
    for _ in range(10):
        if state != TAKING:
            break
        piece = files[number][1][offset:]
        state, _, number, offset, _ = ask(bytes((DATA,)) + struct.pack("<HI", number, offset) + piece)
    assert state == COMPLETE == ask(bytes((ASK,)))[0]
    assert ask(bytes((FINISH,)))[0] == SWITCHED
    assert restarts == [1]
    assert os.stat("/a/last.mpy")[6] == 0
    with open("/a/firmware/app.mpy", "rb") as file:
        assert file.read() == b"code"
