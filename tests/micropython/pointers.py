"""Viper's pointers for an interpreter that has no viper emitter: 16 bits load zero-extended, stores keep 16 bits."""

import builtins


class Words16:
    def __init__(self, words):
        self._words = words

    def __getitem__(self, i):
        return self._words[i] & 0xFFFF

    def __setitem__(self, i, value):
        self._words[i] = ((value & 0xFFFF) ^ 0x8000) - 0x8000


builtins.ptr16 = Words16
builtins.ptr32 = lambda words: words


def viper(kinds):
    """Decorator: hand the arguments named "ptr16" over as Words16."""

    def decorate(function):
        def call(*arguments):
            return function(*[Words16(a) if kind == "ptr16" else a for a, kind in zip(arguments, kinds)])

        return call

    return decorate
