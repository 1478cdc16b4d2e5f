"""Unloads a closed radio, so that something else finds room; the next window loads it anew. Loaded for that only."""

import sys

from firmware import unload

# What only an open window needs, beside aioble.
_MODULES = ("radio", "peer", "trust", "cadence", "packets", "bonds")
# What the cable needs, too, once a host has spoken there.
_SHARED = ("session", "protocol")


def unload_radio(cable_used):
    """Forget the radio's modules and aioble; False: none was loaded.

    Whoever holds a RadioLink lets go of it and ends its task before.
    """
    paths = ["firmware.link." + name for name in (_MODULES if cable_used else _MODULES + _SHARED)]
    paths += [path for path in sys.modules if path.split(".")[0] == "aioble"]
    if "aioble" in paths:
        import bluetooth

        # The Bluetooth stack holds aioble's handler, and through it everything that aioble tells of events.
        bluetooth.BLE().irq(None)
    # All of them, also behind the first that was loaded.
    unloaded = [unload(path) for path in paths]
    return True in unloaded
