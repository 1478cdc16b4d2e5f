"""What the device says of itself: the answer to STATUS. Loaded for it, and not kept."""

import gc
from binascii import hexlify
from sys import implementation

import machine

from firmware import VERSION, steplog
from firmware.boards import board
from firmware.link.protocol import PROTOCOL_VERSION


def values(device):
    """The values of protocol.fields()."""
    gc.collect()
    journal = device.logbook.journal
    forward, backward, sideways, unknown = device.logbook.counts()
    status = {
        "protocol_version": PROTOCOL_VERSION,
        "device_id": hexlify(machine.unique_id()).decode(),
        "firmware": VERSION,
        "model": device._pipeline.model_id,
        "board": board.NAME,
        "log_id": journal.log_id,
        "log_format": steplog.FORMAT_VERSION,
        "boot_sequence": device.logbook.boot_sequence,
        "oldest_sequence": journal.oldest_sequence,
        "next_sequence": journal.next_sequence,
        "acknowledged": journal.acknowledged,
        "uptime_s": device.clock.uptime_ms() // 1000,
        "placement": device._pipeline.placement,
        "calibrated": 1 if device._mounting is not None else 0,
        "forward_steps": forward,
        "backward_steps": backward,
        "sideways_steps": sideways,
        "unknown_steps": unknown,
        "sensor_faults": device._sampler.faults,
        "write_failures": device.logbook.write_failures,
        "log_bytes": journal.bytes_used,
        "battery_mv": device._battery_mv(),
        "clock_set": 1 if device.clock.utc_ms() is not None else 0,
        "sample_period_ns": device._sample_clock.period_ns if device._sample_clock is not None else 0,
        "samples": device._pipeline.sample_index & 0xFFFFFFFF,
        "micropython": "%d.%d.%d" % implementation.version[:3],
        "light_sleep_s": device.power.light_sleep_ms // 1000,
        "radio_s": device.power.radio_ms // 1000,
        "motor_ms": device._cues.buzzed_ms,
        "free_heap": gc.mem_free(),
    }
    if device._plan is not None:
        status["plan_backward_s"] = device._plan.backward_ms // 1000
        status["plan_steps"] = device._plan.backward_steps
    return status
