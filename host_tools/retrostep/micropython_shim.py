"""Stands in for MicroPython's module `micropython` when CPython runs the device's shared sources.

`device_tree.use_device_code()` registers this module under the name `micropython`. It gives `const`, `native`
and `viper` a meaning and puts `ptr8`, `ptr16`, `ptr32` and `uint` among the builtins, since the annotations
of viper functions are evaluated here when the function is defined.

A viper function keeps its body: arithmetic on Python's unbounded integers. Only its pointers are replaced, by
views that load and store as the 32-bit device does: 8 and 16 bits come back zero-extended whatever the
array's type, 32 bits as a signed word; stores keep the low bits. Overflow is therefore not reproduced: that
no intermediate needs more than 32 bits is shown by tests/test_gait_ranges.py.

Limits: a pointer cannot be moved by arithmetic, and a buffer must be a whole number of words long.
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


class _Pointer:
    __slots__ = ("_words",)
    _mask = 0
    _code = ""

    def __init__(self, buffer: Any):
        if isinstance(buffer, _Pointer):
            buffer = buffer._words
        self._words = memoryview(buffer).cast("B").cast(self._code)

    def __getitem__(self, index: int) -> int:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value & self._mask


class ptr8(_Pointer):  # noqa: N801 (the emitter's own name)
    __slots__ = ()
    _mask, _code = 0xFF, "B"


class ptr16(_Pointer):  # noqa: N801
    __slots__ = ()
    _mask, _code = 0xFFFF, "H"


class ptr32(_Pointer):  # noqa: N801
    __slots__ = ()
    _mask, _code = 0xFFFFFFFF, "i"

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = ((value & self._mask) ^ 0x80000000) - 0x80000000


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
        return function(*(arg if kind is None else kind(arg) for kind, arg in zip(kinds, args, strict=True)))

    return call


for _name, _type in (("ptr8", ptr8), ("ptr16", ptr16), ("ptr32", ptr32), ("uint", uint)):
    if not hasattr(builtins, _name):
        setattr(builtins, _name, _type)
