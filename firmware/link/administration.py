"""Answers the requests that come seldom: settings, erasing, bonds, pairing, the 3-metre test.

Loaded when one comes, and not kept (session.py).
"""

import json
import random

from micropython import const

from firmware.gait.direction import BACKWARD
from firmware.link import protocol
from firmware.steplog import SOURCE_DEVICE

# A device's clock drifts by much less than this between a sync and the erasing after it.
_ANCHOR_UNCERTAINTY_MS = const(1000)


def answer(device, peer, opcode, body):
    """The body of the answer to a request. Raises MessageMalformed, ValueError (refused) or OSError."""
    if opcode == protocol.SETTINGS:
        return _settings(device, body)
    if opcode == protocol.ERASE:
        return _erase(device, bool(body) and body[0] == 1)
    if opcode == protocol.BONDS:
        return _bonds(device.radio, peer, body)
    if opcode == protocol.WALK_TEST:
        (action,) = protocol.unpack("<B", body)
        return device.walk_test(action)
    device.radio.open_pairing()
    return b""


def _settings(device, body):
    settings = device.settings
    if body:
        try:
            changes = json.loads(bytes(body))
        except (ValueError, TypeError):
            changes = None
        if not isinstance(changes, dict):
            raise protocol.MessageMalformed("settings: expected a JSON object of names and values")
        settings.change_all(changes)
        device.apply_settings(changes)
    return json.dumps({"settings": settings.shown(), "restart": settings.waiting()}).encode()


def _erase(device, forced):
    logbook = device.logbook
    logbook.flush()
    journal = logbook.journal
    missing = journal.next_sequence - max(journal.acknowledged, journal.oldest_sequence)
    if missing > 0 and not forced:
        raise ValueError("erase: %d records are not acknowledged: sync first, or force it" % missing)
    utc_ms = device.clock.utc_ms()
    backward = logbook.counts()[BACKWARD]
    logbook.erase(random.getrandbits(32))
    device.day_count.erased(backward)
    if utc_ms is not None:
        # The new log begins in the middle of a boot: its time must not wait for the next host.
        uptime_ms = device.clock.uptime_ms()
        logbook.add_anchor(uptime_ms, device.clock.utc_ms(), _ANCHOR_UNCERTAINTY_MS, SOURCE_DEVICE)
    return protocol.pack_u32(logbook.journal.log_id)


def _bonds(radio, peer, body):
    peers = radio.peers()
    if body:
        index = body[0]
        if index != protocol.BONDS_ALL and index >= len(peers):
            raise ValueError("bonds: expected an index below %d, got %d" % (len(peers), index))
        for key in peers if index == protocol.BONDS_ALL else peers[index : index + 1]:
            radio.forget(key)
        peers = radio.peers()
    return bytes((len(peers), peers.index(peer) if peer in peers else protocol.BOND_NONE))
