"""The virtual board: the device's unmodified files in a real MicroPython, with register-level doubles around it."""

from retrostep.board.errors import BoardDied, BoardError, BoardTimeout
from retrostep.board.serial_port import SerialLink
from retrostep.board.supervisor import Event, FlashStats, VirtualBoard
from retrostep.board.wiring import XIAO_ESP32S3, Chip, Wiring

__all__ = [
    "XIAO_ESP32S3",
    "BoardDied",
    "BoardError",
    "BoardTimeout",
    "Chip",
    "Event",
    "FlashStats",
    "SerialLink",
    "VirtualBoard",
    "Wiring",
]
