"""Stands in for MicroPython's module `micropython` when CPython runs the device's shared sources.

`device_tree.use_device_code()` registers this module under the name `micropython`. It gives `const`, `native`
and `viper` a meaning and puts `ptr8`, `ptr16`, `ptr32` and `uint` among the builtins, since the annotations
of viper functions are evaluated here when the function is defined.

A viper function keeps its body: arithmetic on Python's unbounded integers. Only its pointers are replaced, by
views that load and store as the 32-bit device does: 8 and 16 bits come back zero-extended whatever the
array's type, 32 bits as a signed word; stores keep the low bits. Overflow is therefore not reproduced: that
no intermediate needs more than 32 bits is shown by tests/test_gait_ranges.py.

A pointer moves as on the device: `int(pointer)` is an address in bytes, and `ptr16(address)` points there. Here the
addresses are made up, and hold within one call.

Limit: a buffer must be a whole number of words long.
"""

import builtins
import functools
import inspect
from collections.abc import Callable
from typing import Any


def const(value: Any) -> Any:
    return value


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


# For each viper function that runs, the innermost last, the buffers of which an address was taken. An address is the
# number of the buffer, from 1 on, times _BUFFER_BYTES, plus the place in it.
_calls: list[list[memoryview]] = [[]]
_BUFFER_BYTES = 1 << 24


class _Pointer:
    __slots__ = ("_bytes", "_first", "_words")
    _mask = 0
    _code: Any = ""
    _size = 1

    def __init__(self, target: Any):
        """target: a buffer, a pointer, or an address."""
        self._first = 0
        if isinstance(target, int):
            number, place = divmod(target, _BUFFER_BYTES)
            self._bytes = _calls[-1][number - 1]
            self._first, odd = divmod(place, self._size)
            if odd:
                raise ValueError(
                    f"address {place} of a buffer: expected one of a whole {type(self).__name__}"
                )
        elif isinstance(target, _Pointer):
            self._bytes = target._bytes
            self._first = target._first * target._size // self._size
        else:
            self._bytes = memoryview(target).cast("B")
        self._words = self._bytes.cast(self._code)

    def __int__(self) -> int:
        buffers = _calls[-1]
        known = [number for number, buffer in enumerate(buffers, 1) if buffer is self._bytes]
        if not known:
            buffers.append(self._bytes)
            known.append(len(buffers))
        return known[0] * _BUFFER_BYTES + self._first * self._size

    def __getitem__(self, index: int) -> int:
        return self._words[self._place(index)]

    def __setitem__(self, index: int, value: int) -> None:
        self._words[self._place(index)] = value & self._mask

    def _place(self, index: int) -> int:
        place = self._first + index
        if place < 0:
            raise IndexError(f"word {place} of a buffer: expected one from 0 on")
        return place


class ptr8(_Pointer):  # noqa: N801 (the emitter's own name)
    __slots__ = ()
    _mask, _code, _size = 0xFF, "B", 1


class ptr16(_Pointer):  # noqa: N801
    __slots__ = ()
    _mask, _code, _size = 0xFFFF, "H", 2


class ptr32(_Pointer):  # noqa: N801
    __slots__ = ()
    _mask, _code, _size = 0xFFFFFFFF, "i", 4

    def __setitem__(self, index: int, value: int) -> None:
        self._words[self._place(index)] = ((value & self._mask) ^ 0x80000000) - 0x80000000


class uint(int):  # noqa: N801
    """An unsigned machine word."""


_POINTERS = (ptr8, ptr16, ptr32)


def viper(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with each argument annotated as a pointer wrapped in one."""
    kinds = [
        parameter.annotation if parameter.annotation in _POINTERS else None
        for parameter in inspect.signature(function).parameters.values()
    ]

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        _calls.append([])
        try:
            return function(
                *(arg if kind is None else kind(arg) for kind, arg in zip(kinds, args, strict=True))
            )
        finally:
            _calls.pop()

    return call


for _name, _type in (("ptr8", ptr8), ("ptr16", ptr16), ("ptr32", ptr32), ("uint", uint)):
    if not hasattr(builtins, _name):
        setattr(builtins, _name, _type)
