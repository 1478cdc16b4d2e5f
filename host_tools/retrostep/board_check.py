"""Looks a connected device over, part by part: what is on its bus, whether sensor, motor, light, button ... work.

A script goes over by mpremote and prints one JSON object a check, so the firmware on the device holds nothing of it.
It uses the device's own board profile and drivers: what it finds is what the application would find. mpremote
stops the application for it and the caller restarts the device afterwards.

The outcome of a check is "ok", "failed", "absent" (this board has no such part) or "look" (it needs eyes or hands).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from retrostep.cable import require_port
from retrostep.flash import mpremote

OUTCOMES = ("ok", "failed", "absent", "look")
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Check:
    """One part of the device: what was asked, the outcome (one of OUTCOMES), and what was seen."""

    name: str
    outcome: str
    seen: str


# Runs on the device. Each check is caught by itself: a dead sensor must not hide a live radio.
_SCRIPT = """
import gc, json, os, sys, time
import machine

def tell(name, outcome, seen):
    print("CHECK " + json.dumps([name, outcome, seen]))

def check(name, work):
    gc.collect()
    try:
        outcome, seen = work()
    except Exception as error:
        outcome, seen = "failed", "%s: %s" % (type(error).__name__, error)
    tell(name, outcome, seen)

# Address, register, bits of it that count, their value, part.
PARTS = (
    (0x6A, 0x0F, 0xFF, 0x6C, "lsm6dsox"), (0x6B, 0x0F, 0xFF, 0x6C, "lsm6dsox"),
    (0x6A, 0x0F, 0xFF, 0x6A, "lsm6ds3trc"), (0x6B, 0x0F, 0xFF, 0x6A, "lsm6ds3trc"),
    (0x6A, 0x00, 0xFF, 0x05, "qmi8658"), (0x6B, 0x00, 0xFF, 0x05, "qmi8658"),
    (0x68, 0x75, 0xFF, 0x68, "mpu6050"), (0x69, 0x75, 0xFF, 0x68, "mpu6050"),
    (0x68, 0x75, 0xFF, 0x19, "mpu6886"), (0x69, 0x75, 0xFF, 0x19, "mpu6886"),
    (0x68, 0x00, 0xFF, 0x24, "bmi270"), (0x69, 0x00, 0xFF, 0x24, "bmi270"),
    (0x18, 0x00, 0xFF, 0x13, "bma423"), (0x19, 0x00, 0xFF, 0x13, "bma423"),
    (0x5A, 0x00, 0xE0, 0xE0, "drv2605l"), (0x5A, 0x00, 0xE0, 0x60, "drv2605"),
    (0x34, 0x03, 0xCF, 0x4A, "axp2101"), (0x34, 0x03, 0xFF, 0x03, "axp192"),
)

def part_at(bus, address):
    for at, register, mask, value, part in PARTS:
        if at == address:
            try:
                if bus.readfrom_mem(address, register, 1)[0] & mask == value:
                    return part
            except OSError:
                pass
    return "unknown"

def look_at_bus():
    found = [(address, part_at(boards.i2c_bus(), address)) for address in boards.i2c_bus().scan()]
    seen = ", ".join(["0x%02x %s" % pair for pair in found]) or "nothing answers: check wiring and power"
    expected = (board.IMU_ADDRESS, board.IMU)
    if found and expected not in found:
        seen += "; expected 0x%02x %s" % expected
    return ("ok" if expected in found else "failed"), seen

def look_at_imu():
    imu = __import__(board.IMU).Driver(boards.i2c_bus(), board.IMU_ADDRESS)
    imu.start(imu.WATERMARK)
    wrong = __import__(imu.SERVICE).self_test(imu)
    if wrong:
        return "failed", wrong
    imu.start(imu.WATERMARK)
    time.sleep_ms(300)
    imu.read_block()
    count = 0
    begun = imu.looked_us
    while time.ticks_diff(imu.looked_us, begun) < 1000000:
        time.sleep_ms(50)
        count += imu.read_block()
    rate_hz = count * 1000000 / time.ticks_diff(imu.looked_us, begun)
    gravity_mg = int(sum([imu.samples[i] ** 2 for i in range(3)]) ** 0.5 * 0.488)
    imu.standby()
    seen = "%s: self-test passed, %.1f samples a second, %d mg at rest" % (board.IMU, rate_hz, gravity_mg)
    expected_hz = imu.RATE_MILLIHZ / 1000
    if abs(rate_hz - expected_hz) > 0.06 * expected_hz:
        return "failed", seen + "; expected about %.1f samples a second" % expected_hz
    if not 850 <= gravity_mg <= 1150:
        return "failed", seen + "; expected about 1000 mg: keep it still"
    return "ok", seen

def look_at_interrupt():
    if board.IMU_INT_PIN is None:
        return "absent", "the sensor is read on a timer"
    edges = []
    pin = machine.Pin(board.IMU_INT_PIN, machine.Pin.IN)
    imu = __import__(board.IMU).Driver(boards.i2c_bus(), board.IMU_ADDRESS)
    pin.irq(lambda pin: edges.append(1), machine.Pin.IRQ_RISING)
    imu.start(imu.WATERMARK)
    for _ in range(4):
        time.sleep_ms(300)
        imu.read_block()
    pin.irq(None)
    imu.standby()
    seen = "GPIO %d rose %d times in 1.2 s" % (board.IMU_INT_PIN, len(edges))
    return ("ok", seen) if len(edges) >= 3 else ("failed", seen + ", expected about 4: check the wire to INT1")

def look_at_motor():
    if board.HAPTIC is None:
        return "absent", "this board has no motor"
    if board.HAPTIC == "pwm":
        from pwm_motor import PWMMotor
        motor = PWMMotor(machine.Pin(board.MOTOR_PIN))
    elif board.HAPTIC == "axp192":
        from axp192_motor import AXP192Motor
        motor = AXP192Motor(boards.i2c_bus())
    else:
        from drv2605l import DRV2605L
        from drv2605l_service import diagnose
        motor = DRV2605L(boards.i2c_bus())
        wrong = diagnose(motor)
        if wrong:
            return "failed", wrong
    motor.run(100)
    time.sleep_ms(400)
    motor.stop()
    return "look", "ran for 0.4 s: did it buzz?"

def look_at_light():
    if board.LED_PIN is None:
        return "absent", "this board has no light of its own"
    led = machine.Pin(board.LED_PIN, machine.Pin.OUT)
    for _ in range(3):
        led.value(board.LED_ON)
        time.sleep_ms(200)
        led.value(1 - board.LED_ON)
        time.sleep_ms(200)
    return "look", "GPIO %d blinked three times: did you see it?" % board.LED_PIN

def look_at_button():
    pin = boards.button_pin()
    levels = {pin.value()}
    begun = time.ticks_ms()
    while len(levels) < 2 and time.ticks_diff(time.ticks_ms(), begun) < WAIT_MS:
        time.sleep_ms(10)
        levels.add(pin.value())
    gpio = "GPIO %d " % board.BUTTON_PIN
    if len(levels) == 2:
        return "ok", gpio + "was pressed and released"
    if 0 in levels:
        return "failed", gpio + "reads pressed: check its wiring"
    if WAIT_MS:
        return "failed", gpio + "was not pressed within %d s, or is not connected" % (WAIT_MS // 1000)
    return "look", gpio + "reads released; --press waits for a press"

def look_at_battery():
    from firmware.startup import power_meters
    meter = power_meters()[1]
    if meter is None:
        return "absent", "this board's battery is not measured"
    mv = meter()
    if mv < 2000:
        return "absent", "%d mV: no battery, or no divider" % mv
    return ("ok" if 3000 <= mv <= 4400 else "failed"), "%d mV" % mv

def look_at_flash():
    content = bytes(range(256)) * 4
    with open("/check.tmp", "wb") as file:
        file.write(content)
    with open("/check.tmp", "rb") as file:
        same = file.read() == content
    os.remove("/check.tmp")
    size, _, blocks, free = os.statvfs("/")[:4]
    seen = "%d of %d kB free" % (free * size // 1024, blocks * size // 1024)
    return ("ok", seen) if same else ("failed", "what was written reads otherwise; " + seen)

def look_at_radio():
    try:
        import bluetooth
    except ImportError:
        return "failed", "this MicroPython has no module bluetooth: take the maker's or the generic build"
    radio = bluetooth.BLE()
    radio.active(True)
    address = ":".join(["%02x" % byte for byte in radio.config("mac")[1]])
    radio.active(False)
    try:
        import aioble
    except ImportError:
        return "failed", "%s; aioble is missing: mpremote mip install aioble" % address
    return "ok", address

def look_at_memory():
    return "ok", "%d kB free of the heap" % (gc.mem_free() // 1024)

try:
    from firmware import boards
    from firmware.boards import board
except Exception as error:
    tell("board", "failed", "%s: %s" % (type(error).__name__, error))
else:
    tell("board", "ok", "%s on %s" % (board.NAME, os.uname().machine))
    check("bus", look_at_bus)
    check("motion sensor", look_at_imu)
    check("its interrupt", look_at_interrupt)
    check("motor", look_at_motor)
    check("light", look_at_light)
    check("button", look_at_button)
    check("battery", look_at_battery)
    check("flash", look_at_flash)
    check("radio", look_at_radio)
    check("memory", look_at_memory)
"""


def check_board(port: str, press_s: int = 0) -> list[Check]:
    """Every check of the device at `port`, in order. press_s: wait so long for the button.

    The device is left without its application: restart it. Raises FlashFailed, or PortUnusable without such a port.
    """
    require_port(port)
    script = _SCRIPT.replace("WAIT_MS", str(press_s * 1000))
    printed = mpremote(port, "exec", script, timeout_s=_TIMEOUT_S + press_s)
    lines = (line for line in printed.splitlines() if line.startswith("CHECK "))
    return [Check(*json.loads(line.removeprefix("CHECK "))) for line in lines]
