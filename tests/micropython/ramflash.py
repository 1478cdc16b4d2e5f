"""NOR flash in RAM for littlefs: erase sets bits, programming only clears them, erases are counted by block."""

import os
import sys
from array import array

import micropython
import vfs


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
        self.violations = 0
        self.erases = array("I", bytes(4 * blocks))

    def readblocks(self, block, buffer, offset=0):
        at = block * self.block_bytes + offset
        buffer[:] = memoryview(self.image)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self.violations += _program(self.image, block * self.block_bytes + offset, buffer, len(buffer))

    def ioctl(self, operation, block):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return self.block_bytes
        if operation == 6:
            self.erases[block] += 1
            at = block * self.block_bytes
            self.image[at : at + self.block_bytes] = b"\xff" * self.block_bytes
        return 0


def mount(flash, at="/flash", fresh=True):
    if fresh:
        vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), at)


def device_volume():
    """A flash at "/", as the device has it; this computer's files, with the modules among them, move to /host."""
    here = os.getcwd()
    vfs.umount("/")
    flash = RamFlash(blocks=48)
    mount(flash, "/")
    vfs.mount(vfs.VfsPosix("/"), "/host")

    def moved(path):
        if path.startswith(".frozen"):
            return path
        return "/host" + (path if path.startswith("/") else here + "/" + path)

    sys.path[:] = [moved(path) for path in sys.path]
    for module in sys.modules.values():
        if hasattr(module, "__path__"):
            module.__path__ = moved(module.__path__)
    return flash
