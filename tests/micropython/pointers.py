"""Viper's pointers for an interpreter that has no viper emitter: they load and store as on the 32-bit device.

16 bits load zero-extended, 32 bits signed, stores keep the low bits; `int(pointer)` is an address to point elsewhere
from.
"""

import builtins

import uctypes

# More than any kernel reaches from one pointer on.
REACH_BYTES = 65536


class Pointer:
    def __init__(self, target):
        if isinstance(target, Pointer):
            target = target.address
        elif not isinstance(target, int):
            target = uctypes.addressof(target)
        self.address = target
        self._bytes = uctypes.bytearray_at(target, REACH_BYTES)

    def __int__(self):
        return self.address


class Words16(Pointer):
    def __getitem__(self, i):
        return self._bytes[2 * i] | self._bytes[2 * i + 1] << 8

    def __setitem__(self, i, value):
        self._bytes[2 * i] = value & 0xFF
        self._bytes[2 * i + 1] = value >> 8 & 0xFF


class Words32(Pointer):
    def __getitem__(self, i):
        at = self._bytes
        i *= 4
        high = (at[i + 3] ^ 0x80) - 0x80
        return at[i] | at[i + 1] << 8 | at[i + 2] << 16 | high << 24

    def __setitem__(self, i, value):
        for k in range(4):
            self._bytes[4 * i + k] = value & 0xFF
            value >>= 8


builtins.ptr16 = Words16
builtins.ptr32 = Words32
KINDS = {"ptr16": Words16, "ptr32": Words32}


def viper(kinds):
    """Decorator: hand the arguments named as a pointer over as one."""

    def decorate(function):
        def call(*arguments):
            return function(*[KINDS[kind](a) if kind in KINDS else a for a, kind in zip(arguments, kinds)])

        return call

    return decorate
