"""Viper's meaning for an interpreter that has no viper emitter (wasm.py rewrites the decorators).

A kernel keeps its body. Its pointers become objects, which load and store as on the 32-bit device: 16 bits load
zero-extended, 32 bits signed, stores keep the low bits; `int(pointer)` is an address to point elsewhere from.
Those objects, and the integers and frames of kernels, are allocated, where viper allocates nothing: so while
lock() holds, the heap is unlocked in kernels and locked everywhere else.
"""

import builtins

import micropython
import uctypes

# All of the memory that there is.
_memory = uctypes.bytearray_at(0, 1 << 25)
# Whether the heap is locked now.
_locked = [False]


class Pointer:
    def __init__(self, target):
        if isinstance(target, Pointer):
            target = target.address
        elif not isinstance(target, int):
            target = uctypes.addressof(target)
        self.address = target

    def __int__(self):
        return self.address


class Words16(Pointer):
    def __getitem__(self, i):
        at = self.address + 2 * i
        return _memory[at] | _memory[at + 1] << 8

    def __setitem__(self, i, value):
        at = self.address + 2 * i
        _memory[at] = value & 0xFF
        _memory[at + 1] = value >> 8 & 0xFF


class Words32(Pointer):
    def __getitem__(self, i):
        at = self.address + 4 * i
        high = (_memory[at + 3] ^ 0x80) - 0x80
        return _memory[at] | _memory[at + 1] << 8 | _memory[at + 2] << 16 | high << 24

    def __setitem__(self, i, value):
        at = self.address + 4 * i
        for k in range(4):
            _memory[at + k] = value & 0xFF
            value >>= 8


builtins.ptr16 = Words16
builtins.ptr32 = Words32
KINDS = {"ptr16": "Words16", "ptr32": "Words32"}


def lock():
    """From here on, ordinary bytecode that allocates raises MemoryError."""
    micropython.heap_lock()
    _locked[0] = True


def unlock():
    _locked[0] = False
    micropython.heap_unlock()


def _enter():
    if _locked[0]:
        unlock()
        return True
    return False


def _leave(was_locked):
    if was_locked:
        lock()


def viper(kinds):
    """Decorator for a kernel whose arguments are of these kinds: those named as a pointer arrive as one."""

    def decorate(kernel):
        # One with just so many arguments: a call with *arguments makes a tuple, outside of the kernel.
        names = ["a%d" % k for k in range(len(kinds))]
        passed = ["%s(%s)" % (KINDS.get(kind, ""), name) for name, kind in zip(names, kinds)]
        known = {"Words16": Words16, "Words32": Words32, "kernel": kernel, "enter": _enter, "leave": _leave}
        exec(
            "def call(%s):\n locked = enter()\n try:\n  return kernel(%s)\n finally:\n  leave(locked)\n"
            % (", ".join(names), ", ".join(passed)),
            known,
        )
        return known["call"]

    return decorate
