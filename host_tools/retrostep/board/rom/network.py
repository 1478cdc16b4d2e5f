"""Double of the module `network` as the ESP32 port has it: one station; sockets are the computer's own.

What the air holds is set from outside (VirtualBoard.set_wifi): "absent" (no such network; at first), "refuses" (the
password) or "there". Joining takes JOIN_MS. Source: MicroPython documentation, class network.WLAN.
"""

import time

from virtual import board, channel, clock

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
JOIN_MS = 1500


def _on_wifi(command):
    board.air = command["air"]


channel.on("wifi", _on_wifi)


class WLAN:
    """The station interface."""

    _active = False
    _asked_ms = None

    def __init__(self, interface):
        if interface != STA_IF:
            raise NotImplementedError("virtual board: no access point")

    def active(self, on=None):
        if on is None:
            return WLAN._active
        if on != WLAN._active:
            channel.send({"event": "wifi", "us": clock.now_us, "on": on})
        WLAN._active = on
        if not on:
            WLAN._asked_ms = None
        return on

    def connect(self, ssid, key=None):
        if not WLAN._active:
            raise OSError("Wifi Not Started")
        WLAN._asked_ms = time.ticks_ms()

    def disconnect(self):
        if not WLAN._active:
            raise OSError("Wifi Not Started")
        WLAN._asked_ms = None

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self):
        if WLAN._asked_ms is None:
            return STAT_IDLE
        if time.ticks_diff(time.ticks_ms(), WLAN._asked_ms) < JOIN_MS:
            return STAT_CONNECTING
        return {"there": STAT_GOT_IP, "refuses": STAT_WRONG_PASSWORD, "absent": STAT_NO_AP_FOUND}[board.air]
