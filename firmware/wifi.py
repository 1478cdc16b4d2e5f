"""The device's visits to the Wi-Fi: join, publish what is new (publish.py), leave. docs/mqtt.md tells what is sent.

The setting `wifi` is null (never) or an object with

    ssid, password    the network; password null: an open one
    host, port        the MQTT broker, by an address if no name server may stall the sampling
    tls               true: the broker must prove itself to the authority in /mqtt_ca.der
    user, secret      at the broker; null: none
    every_h           a visit so often, 1..168 hours; the first a minute after the start
    window_s          a visit ends after so long whatever the network does, 10..120

visits.py says when. Loaded for a visit and not kept.
"""

import asyncio
import gc

from firmware import unload

_LOOK_MS = 250
_COLLECT_EVERY_BYTES = 4096
_KEYS = ("every_h", "host", "password", "port", "secret", "ssid", "tls", "user", "window_s")
# What a visit loads and the rest of the app has no use for.
_VISITING = (
    "firmware.publish",
    "firmware.mqtt_payloads",
    "firmware.broker",
    "firmware.steplog_decoder",
    "umqtt.simple",
)


def fits(value):
    """Whether that can be the setting."""
    if not isinstance(value, dict) or tuple(sorted(value)) != _KEYS:
        return False
    for name, least, most in (("port", 1, 65_535), ("every_h", 1, 168), ("window_s", 10, 120)):
        number = value[name]
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            return False
    for name in ("ssid", "host", "password", "user", "secret"):
        text = value[name]
        if text is None and name not in ("ssid", "host"):
            continue
        if not isinstance(text, str) or not 1 <= len(text) <= 64:
            return False
    return isinstance(value["tls"], bool)


async def _join(station, ssid, password):
    """Returns once the network is joined."""
    station.active(True)
    station.connect(ssid, password)
    while not station.isconnected():
        await asyncio.sleep_ms(_LOOK_MS)


async def _publish(device, station, wifi):
    import network

    try:
        await _join(station, wifi["ssid"], wifi["password"])
    finally:
        if station.status() == network.STAT_WRONG_PASSWORD:
            print("wifi: the network refuses the password")
    from firmware.publish import publish

    await publish(device, wifi)


async def visit(device, wifi):
    """One visit from begin to end. Whatever fails is printed; what was not sent is sent at the next."""
    import network

    station = network.WLAN(network.STA_IF)
    # Collecting often while modules load keeps what stays together, as in main.py.
    gc.collect()
    usual = gc.threshold()
    gc.threshold(_COLLECT_EVERY_BYTES)
    try:
        await asyncio.wait_for(_publish(device, station, wifi), wifi["window_s"])
    except asyncio.TimeoutError:
        print("wifi: not done within %d s; the rest next time" % wifi["window_s"])
    except Exception as failure:
        # Steps must go on being counted, whatever a network and its libraries do.
        print("wifi: left early: %r" % failure)
    finally:
        for path in _VISITING:
            unload(path)
        gc.threshold(usual)
        gc.collect()
        try:
            station.disconnect()
        except OSError:
            # It never became active.
            pass
        station.active(False)
