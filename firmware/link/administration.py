"""Answers the requests that change the device itself: settings. Loaded when one comes (session.py)."""

import json

from firmware.link import protocol


def answer(device, opcode, body):
    """The body of the answer to a request. Raises MessageMalformed, ValueError (refused) or OSError."""
    return _settings(device, body)


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
