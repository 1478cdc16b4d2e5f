"""NOR flash in a file: erase sets every bit of a block, programming can only clear bits.

Block protocol of MicroPython's VFS (docs/library/vfs, block devices, with offsets). Every operation goes
through to the file at once, so whatever kills the process leaves exactly what was programmed. The counters live
in a second file (little-endian uint32: programs, bytes programmed, erases, violations, then erases per block)
and survive as well. A violation is an attempt to set a bit by programming.

`cut_after` > 0 cuts the power at the n-th program or erase from now: before it, or with half of it done.
All methods are native code without calls into bytecode: a Ctrl-C cannot tear an operation.
"""

import micropython

from virtual import channel, clock

_COUNTERS = 16

# The board's flash, once start.py has opened it.
device = None


@micropython.viper
def _program(cells: ptr8, data: ptr8, n: int) -> int:
    """cells &= data; how many bytes wanted a 0 -> 1."""
    bad = 0
    for i in range(n):
        if data[i] & (cells[i] ^ 255):
            bad += 1
        cells[i] = cells[i] & data[i]
    return bad


@micropython.viper
def _fill(cells: ptr8, n: int):
    for i in range(n):
        cells[i] = 255


@micropython.viper
def _add(counters: ptr32, at: int, n: int):
    counters[at] = counters[at] + n


class Flash:
    """Block device over `image_path`; the counters' file may be None."""

    def __init__(self, image_path, counters_path=None, block_size=4096):
        self._file = open(image_path, "r+b")
        size = self._file.seek(0, 2)
        if size == 0 or size % block_size:
            raise ValueError(
                "flash image of %d bytes: expected a positive multiple of %d; make a new one"
                % (size, block_size)
            )
        self.block_size = block_size
        self.blocks = size // block_size
        self.cut_after = 0
        self.cut_torn = False
        self._cells = bytearray(block_size)
        self._counter_bytes = bytearray(_COUNTERS + 4 * self.blocks)
        self._counter_file = open(counters_path, "r+b") if counters_path else None
        if self._counter_file:
            self._counter_file.readinto(self._counter_bytes)

    @micropython.native
    def readblocks(self, block, buf, offset=0):
        self._file.seek(block * self.block_size + offset)
        self._file.readinto(buf)

    @micropython.native
    def writeblocks(self, block, buf, offset=None):
        if offset is None:
            # The form without an offset erases first (whole blocks only).
            for i in range(len(buf) // self.block_size):
                self._erase(block + i)
            offset = 0
        n = len(buf)
        torn = self._cut_now()
        if torn:
            n //= 2
        at = block * self.block_size + offset
        done = 0
        while done < n:
            m = min(n - done, self.block_size)
            cells = memoryview(self._cells)[:m]
            self._file.seek(at + done)
            self._file.readinto(cells)
            bad = _program(self._cells, memoryview(buf)[done : done + m], m)
            self._file.seek(at + done)
            self._file.write(cells)
            if bad:
                _add(self._counter_bytes, 3, bad)
            done += m
        _add(self._counter_bytes, 0, 1)
        _add(self._counter_bytes, 1, n)
        if self._counter_file:
            self._counter_file.seek(0)
            self._counter_file.write(memoryview(self._counter_bytes)[:16])
        if torn:
            self._stop()

    @micropython.native
    def _erase(self, block):
        n = self.block_size
        torn = self._cut_now()
        if torn:
            n //= 2
        cells = self._cells
        _fill(cells, n)
        self._file.seek(block * self.block_size)
        self._file.write(memoryview(cells)[:n])
        _add(self._counter_bytes, 2, 1)
        _add(self._counter_bytes, 4 + block, 1)
        if self._counter_file:
            self._counter_file.seek(0)
            self._counter_file.write(memoryview(self._counter_bytes)[:16])
            at = 16 + 4 * block
            self._counter_file.seek(at)
            self._counter_file.write(memoryview(self._counter_bytes)[at : at + 4])
        if torn:
            self._stop()

    @micropython.native
    def _cut_now(self):
        """Count down to the cut. Stops here for a clean one; returns True if this operation is to be torn."""
        if self.cut_after == 0:
            return False
        self.cut_after -= 1
        if self.cut_after:
            return False
        if self.cut_torn:
            return True
        self._stop()
        return None

    @micropython.native
    def _stop(self):
        channel.send({"event": "cut", "us": clock.now_us})
        channel.halt()

    @micropython.native
    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return self.block_size
        if op == 6:
            self._erase(arg)
            return 0
        return 0
