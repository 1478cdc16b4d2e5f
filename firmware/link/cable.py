"""The link over the serial port (USB) that also carries the REPL: framing.py's lines in, lines out.

Reads stdin while the app runs; anything that is no message of ours is left alone. Ctrl-C still interrupts the app,
so mpremote works as ever.
"""

import asyncio
import sys

from micropython import const

from firmware.link.framing import decode_line, encode_line
from firmware.link.protocol import CHANNELS, MAX_REQUEST_BYTES
from firmware.link.session import Session

# Base64 of the longest request with its CRC, the mark and the line end; longer input is no request.
_MAX_LINE_BYTES = (MAX_REQUEST_BYTES + 4 + 2) // 3 * 4 + 3
_NEWLINE = const(10)
# A block of the FIFO's watermark is one message.
_RAW_SAMPLES = const(26)


class CableLink:
    """device: see Session. stdin, stdout: binary streams (default: the serial port's)."""

    def __init__(self, device, stdin=None, stdout=None):
        self._session = Session(device)
        self._stdin = sys.stdin.buffer if stdin is None else stdin
        self._stdout = sys.stdout.buffer if stdout is None else stdout

    async def _send(self, message):
        self._stdout.write(encode_line(message))
        # Between two messages of a long answer the sampler gets its turn.
        await asyncio.sleep_ms(0)

    def live(self, message):
        """Hand an unasked message of a step or a cue to a listening host."""
        if self._session.wants_live:
            self._stdout.write(encode_line(message))

    def raw_block(self, first_index, samples, count):
        """Hand a block of samples to a recording host; nothing to any other."""
        if not self._session.wants_raw:
            return
        for at in range(0, count, _RAW_SAMPLES):
            part = memoryview(samples)[at * CHANNELS :]
            message = self._session.raw_block(first_index + at, part, min(_RAW_SAMPLES, count - at))
            self._stdout.write(encode_line(message))

    def mark(self, next_index, presses):
        """Tell a recording host that the button was pressed; True if there is one."""
        if not self._session.wants_raw:
            return False
        self._stdout.write(encode_line(self._session.mark(next_index, presses)))
        return True

    async def run(self):
        """Serve requests for ever."""
        stream = asyncio.StreamReader(self._stdin)
        line = bytearray()
        while True:
            byte = await stream.read(1)
            if not byte:
                # Nobody at the other end: look again soon.
                await asyncio.sleep_ms(200)
            elif byte[0] == _NEWLINE:
                message = decode_line(line)
                line = bytearray()
                if message is not None:
                    await self._session.handle(message, self._send)
            elif len(line) < _MAX_LINE_BYTES:
                line.extend(byte)
