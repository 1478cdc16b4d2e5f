"""An LSM6DSOX on a bus, in whose FIFO somebody walks: what the driver reads there, made beforehand.

Nothing here allocates once it is made, so that what reads from it can be watched for allocations.
"""

import math
from array import array

BLOCK = 26
RATE_HZ = 104
WORD_BYTES = 7
# Samples a step, 2 steps a second.
STEP = 52
G = 2049
_G_MM_S2, _GYROSCOPE_LSB_DPS = 9807, 0.07
_GYROSCOPE, _ACCELEROMETER = 1 << 3, 2 << 3
_FIFO_STATUS, _WHO_AM_I, _FIFO_DATA = 0x3A, 0x0F, 0x78


def waist(at):
    """Six channels of sample `at`: somebody walks forward."""
    phase = 2 * math.pi * at / STEP
    forward = int(-0.25 * G * math.cos(phase))
    left = int(0.07 * G * math.cos(phase / 2))
    up = int(G + 0.25 * G * math.sin(phase))
    return forward, left, up, 0, 0, 0


def still(at):
    """Six channels of sample `at`: nobody moves."""
    return at % 3, 0, G, 0, at % 2, 0


def foot(*motions):
    """A function like waist(), of a foot that makes these motions: (samples, mm forward, degrees toe down) each."""
    samples = array("h")
    toe_down = 0
    for count, way_mm, turn_deg in motions:
        for k in range(count):
            # From rest to rest with the least jerk.
            t = k / count
            acc = G / _G_MM_S2 * way_mm * (RATE_HZ / count) ** 2 * 60 * t * (1 - t) * (1 - 2 * t)
            rate = turn_deg * RATE_HZ / count * 30 * (t * (1 - t)) ** 2 / _GYROSCOPE_LSB_DPS
            pitch = math.radians(toe_down + turn_deg * t**3 * (10 - 15 * t + 6 * t * t))
            cos, sin = math.cos(pitch), math.sin(pitch)
            for value in (cos * acc - sin * G, 0, sin * acc + cos * G, 0, rate, 0):
                samples.append(round(value))
        toe_down += turn_deg
    return lambda at: samples[6 * at : 6 * at + 6]


# Motions of foot() that take whole blocks: a stride forward with push-off, and one backward without; one where the
# foot is held still in mid-swing; two short ones, and rest until they are forgotten.
FORWARD = ((42, 0, 0), (22, 500, 60), (40, 800, -60))
BACKWARD = ((42, 0, 0), (31, -300, -20), (31, -400, 20))
HELD = ((42, 0, 0), (22, 500, 60), (40, 0, 0), (52, 800, -60))
SHORT = ((52, 0, 0), (22, 100, 30), (30, 120, -30))
PAIR = SHORT + SHORT + ((572, 0, 0),)


def blocks(motions):
    """How many blocks they take."""
    return sum([motion[0] for motion in motions]) // BLOCK


class WalkingFifo:
    """The bus. sample(at): six channels; blocks: how many blocks of them there are. They come round again."""

    def __init__(self, sample, blocks):
        self._blocks = []
        for block in range(blocks):
            words = bytearray(WORD_BYTES * 2 * BLOCK)
            for k in range(BLOCK):
                acc_and_gyr = sample(block * BLOCK + k)
                for tag, first, at in (
                    (_GYROSCOPE, 3, 2 * WORD_BYTES * k),
                    (_ACCELEROMETER, 0, 2 * WORD_BYTES * k + WORD_BYTES),
                ):
                    words[at] = tag
                    for c in range(3):
                        value = acc_and_gyr[first + c] & 0xFFFF
                        words[at + 1 + 2 * c] = value & 0xFF
                        words[at + 2 + 2 * c] = value >> 8
            self._blocks.append(words)
        self._next = 0

    def readfrom_mem_into(self, address, register, into):
        if register == _FIFO_DATA:
            words = self._blocks[self._next]
            self._next = (self._next + 1) % len(self._blocks)
            for k in range(len(into)):
                into[k] = words[k]
        elif register == _FIFO_STATUS:
            into[0], into[1] = 2 * BLOCK, 0
        else:
            into[0] = 0x6C if register == _WHO_AM_I else 0

    def writeto_mem(self, address, register, data):
        pass


def start(sample, blocks):
    """The driver, started, of such a sensor."""
    from lsm6dsox import Driver

    imu = Driver(WalkingFifo(sample, blocks))
    imu.start(BLOCK, lambda ms: None)
    return imu
