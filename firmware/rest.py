"""Deep sleep: lying still, and with an empty battery. Loaded for it; the device starts anew when it wakes.

Lying still, the sensor watches for motion. Where its driver can (lsm6ds_service.watch_for_motion), it goes on filling
its FIFO meanwhile: what it holds when the device wakes is counted (resume()). Others lose what is walked until the
device has started, about two seconds (docs/power.md).
"""

import machine
from imu import WrongPart

_WAKE_MG = 63


def lie_still(device):
    """Sleep until something moves, the button is pressed, or a window of the radio or a visit to the Wi-Fi is due.

    Returns if it can't be, now (the bus) or at all (the part).
    """
    imu = device.imu
    service = __import__(imu.SERVICE)
    try:
        getattr(service, "watch_for_motion", service.wake_on_motion)(imu, _WAKE_MG)
    except WrongPart as failure:
        print("rest: the sensor can't watch for motion:", failure)
        device._rests = False
        return
    except OSError as silent:
        print("rest: the sensor does not answer:", silent)
        return
    device.note_battery()
    device.close()
    due_ms = device.radio.due_in_ms()
    device.power.arm(True)
    if due_ms is None:
        machine.deepsleep()
    machine.deepsleep(due_ms)


def resume(imu):
    """Go on with a sensor that lie_still() left sampling; False: it does not. Raises OSError from the bus."""
    service = __import__(imu.SERVICE)
    return hasattr(service, "resume") and service.resume(imu)


def shut_down(device):
    """The battery is nearly empty: keep everything, sleep until the button is pressed."""
    print("rest: the battery is empty; charge it, then press the button")
    device.note_battery()
    device.close()
    if device.imu is not None:
        try:
            device.imu.standby()
        except OSError as silent:
            print("rest: the sensor stays on:", silent)
    device.power.arm(False)
    machine.deepsleep()
