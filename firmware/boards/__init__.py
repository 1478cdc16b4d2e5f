"""Board profiles: one file a board, pins and parts only. `board` is the profile in use (choice.py finds it).

To adapt Retrostep to a board, copy a profile, edit its pins, and put its name into /board.txt (docs/porting.md lists
what a profile holds).
"""

import sys

import machine

from firmware.boards import choice

board = choice.load()
# Not needed any more, and the heap is small.
del choice, sys.modules["firmware.boards.choice"]
if hasattr(board, "power_up"):
    board.power_up()


def button_pin():
    """The button's pin: 0 while it is pressed."""
    pull = machine.Pin.PULL_UP if board.BUTTON_PULL_UP else None
    return machine.Pin(board.BUTTON_PIN, machine.Pin.IN, pull)


def i2c_bus():
    """The bus with the motion sensor on it."""
    return machine.I2C(
        board.I2C_ID, scl=machine.Pin(board.SCL_PIN), sda=machine.Pin(board.SDA_PIN), freq=board.I2C_HZ
    )
