"""The radio, its configuration, and the handlers among which its events are passed round."""

import bluetooth

log_level = 1

ble = bluetooth.BLE()
_irq_handlers = []
_shutdown_handlers = []


class GattError(Exception):
    """The other side refused an operation; the status is bluetooth's own."""

    def __init__(self, status):
        self._status = status


def log_error(*args):
    if log_level > 0:
        print("[aioble] E:", *args)


def log_warn(*args):
    if log_level > 1:
        print("[aioble] W:", *args)


def log_info(*args):
    if log_level > 2:
        print("[aioble] I:", *args)


def ensure_active():
    """Switch the radio on if it is off."""
    if not ble.active():
        ble.active(True)


def config(*args, **kwargs):
    """bluetooth.BLE.config() with the radio on."""
    ensure_active()
    return ble.config(*args, **kwargs)


def stop():
    """Switch the radio off and forget what was under way."""
    ble.active(False)
    for shutdown in _shutdown_handlers:
        shutdown()


def register_irq_handler(irq, shutdown):
    """irq(event, data) is called for each event until one handler gives a result; shutdown() by stop()."""
    if irq:
        _irq_handlers.append(irq)
    if shutdown:
        _shutdown_handlers.append(shutdown)


def _on_event(event, data):
    for irq in _irq_handlers:
        result = irq(event, data)
        if result is not None:
            return result
    return None


ble.irq(_on_event)
