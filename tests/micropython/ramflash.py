"""NOR flash in RAM for littlefs, with a power switch: erase sets bits, programming only clears them.

`cut_after` operations (programs and erases) it stops dead: `torn` leaves half of that operation done.
"""

from array import array

import micropython
import vfs


class PowerCut(Exception):
    """The flash has no power any more."""


@micropython.viper
def _program(flash: ptr8, at: int, data: ptr8, count: int) -> int:
    """AND `data` into the flash; return how many bytes would have needed a 0 to become 1."""
    wrong = 0
    i = 0
    while i < count:
        if data[i] & ~flash[at + i]:
            wrong += 1
        flash[at + i] = flash[at + i] & data[i]
        i += 1
    return wrong


class RamFlash:
    def __init__(self, blocks=64, block_bytes=4096, image=None):
        self.block_bytes = block_bytes
        self.blocks = blocks
        self.image = bytearray(b"\xff" * (blocks * block_bytes)) if image is None else bytearray(image)
        self.operations = 0
        self.violations = 0
        self.erases = array("I", bytes(4 * blocks))
        self.cut_after = None
        self.torn = False

    def _operation(self):
        """True if this one is cut in the middle; raises if there is no power."""
        self.operations += 1
        if self.cut_after is None or self.operations <= self.cut_after:
            return False
        if self.operations == self.cut_after + 1 and self.torn:
            return True
        raise PowerCut

    def readblocks(self, block, buffer, offset=0):
        if self.cut_after is not None and self.operations > self.cut_after:
            raise PowerCut
        at = block * self.block_bytes + offset
        buffer[:] = memoryview(self.image)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        torn = self._operation()
        count = len(buffer) // 2 if torn else len(buffer)
        self.violations += _program(self.image, block * self.block_bytes + offset, buffer, count)
        if torn:
            raise PowerCut

    def ioctl(self, operation, block):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return self.block_bytes
        if operation == 6:
            torn = self._operation()
            self.erases[block] += 1
            at = block * self.block_bytes
            count = self.block_bytes // 2 if torn else self.block_bytes
            self.image[at : at + count] = b"\xff" * count
            if torn:
                raise PowerCut
        return 0


def mount(flash, at="/flash", fresh=True):
    if fresh:
        vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), at)
