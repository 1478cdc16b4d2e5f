"""Publishes what the step log has new, by a cursor of its own (/mqtt.json), over a connection of broker.py.

A message at a time, with the sampler's turn between two. The cursor moves with the broker's word that it has the
message, every few records and at the end: after a power cut some messages go out again, with the ids they had.
UTC is what the clock says for this boot; for earlier boots, what their anchors said before. Loaded for a visit.
"""

import asyncio
import json

from journal import write_atomically

from firmware import VERSION, broker, mqtt_payloads, steplog
from firmware.boards import board

CURSOR = "/mqtt.json"
_BETWEEN_MS = 20
_RECORDS_PER_NOTE = 32
_ANCHOR_TAG, _ANCHOR_OFFSET_MS = "anchor_tag", "anchor_offset_ms"


def _read_cursor():
    try:
        with open(CURSOR) as file:
            return json.load(file)
    except (OSError, ValueError):
        # Nothing was published yet, or the file is damaged: everything goes out, under the ids that it has.
        return None


class _Dates:
    """What ties a record's uptime to UTC."""

    def __init__(self, device, state):
        self._boot_tag = device.logbook.boot_sequence & 0xFFFF
        self._clock = device.clock
        self.anchor = (state or {}).get(_ANCHOR_TAG), (state or {}).get(_ANCHOR_OFFSET_MS)

    def learn(self, kind, payload):
        if kind == steplog.ANCHOR:
            from firmware.steplog_decoder import decode

            anchor = decode(kind, payload)
            self.anchor = anchor["boot_tag"], anchor["utc_ms"] - anchor["uptime_ms"]

    def utc_of(self, boot_tag, sequence, uptime_ms):
        if boot_tag == self._boot_tag:
            utc_ms = self._clock.utc_ms()
            return None if utc_ms is None else utc_ms - self._clock.uptime_ms() + uptime_ms
        tag, offset_ms = self.anchor
        return uptime_ms + offset_ms if tag == boot_tag else None


async def publish(device, wifi):
    """Publish all that is new. Raises OSError, broker.BrokerRefused or what umqtt raises."""
    device_id = device.status()["device_id"]
    availability = mqtt_payloads.topic(device_id, "availability").encode()
    client = await broker.connect(
        wifi, ("retrostep-" + device_id).encode(), availability, mqtt_payloads.OFFLINE.encode()
    )
    try:
        client.publish(availability, mqtt_payloads.ONLINE.encode(), True, 1)
        await _publish_all(device, device_id, client)
        client.publish(availability, mqtt_payloads.OFFLINE.encode(), True, 1)
        client.disconnect()
    finally:
        # Without MQTT's goodbye the broker speaks the will.
        client.sock.close()


async def _send(client, message):
    topic, text, retain = message
    client.publish(topic.encode(), text.encode(), retain, 1)
    await asyncio.sleep_ms(_BETWEEN_MS)


async def _publish_all(device, device_id, client):
    logbook = device.logbook
    logbook.flush()
    journal = logbook.journal
    state = _read_cursor()
    dates = _Dates(device, state)
    day_of = mqtt_payloads.fixed_days(device.settings["utc_offset_min"])
    digest = mqtt_payloads.Digest(device_id, journal.log_id, dates.utc_of, day_of, state)

    def noted():
        now = digest.state()
        now[_ANCHOR_TAG], now[_ANCHOR_OFFSET_MS] = dates.anchor
        return now

    for message in mqtt_payloads.discovery(device_id, board.NAME, VERSION):
        await _send(client, message)
    sure = stored = noted()
    try:
        for sequence, kind, payload in journal.records(digest.next_sequence):
            dates.learn(kind, payload)
            for message in digest.take(sequence, kind, payload):
                await _send(client, message)
            sure = noted()
            if sure["next"] - stored["next"] >= _RECORDS_PER_NOTE:
                write_atomically(CURSOR, json.dumps(sure).encode())
                stored = sure
                await asyncio.sleep_ms(0)
        for message in digest.today():
            await _send(client, message)
    finally:
        if sure != stored:
            write_atomically(CURSOR, json.dumps(sure).encode())
