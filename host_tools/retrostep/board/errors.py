"""What can go wrong with the virtual board itself."""


class BoardError(RuntimeError):
    """The virtual board cannot do what was asked."""


class BoardDied(BoardError):
    """The interpreter ended by itself: a fault of the ROM, or the heap is too small for it."""


class BoardTimeout(BoardError):
    """The board did not get there in the wall time allowed."""
