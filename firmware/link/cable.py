"""The link over the serial port (USB) that also carries the REPL: framing.py's lines in, lines out.

What answers (session.py) is loaded when a host speaks for the first time: most of the time there is none.

Reads stdin while the app runs; anything that is no message of ours is left alone. Ctrl-C still interrupts the app,
so mpremote works as ever.
"""

import asyncio
import gc
import sys

from micropython import const

from firmware.link.framing import decode_line, encode_line

# Base64 of the longest request (protocol.MAX_REQUEST_BYTES) with its CRC, the mark and the line end; longer input is
# no request.
MAX_LINE_BYTES = const(689)
_NEWLINE = const(10)
_CHANNELS = const(6)
# A block of the FIFO's watermark is one message.
_RAW_SAMPLES = const(26)


class CableLink:
    """device: see Session. stdin, stdout: binary streams (default: the serial port's)."""

    def __init__(self, device, stdin=None, stdout=None):
        self._device = device
        self._session = None
        self._stdin = sys.stdin.buffer if stdin is None else stdin
        self._stdout = sys.stdout.buffer if stdout is None else stdout

    async def _send(self, message):
        self._stdout.write(encode_line(message))
        # Between two messages of a long answer the sampler gets its turn.
        await asyncio.sleep_ms(0)

    @property
    def used(self):
        """Whether a host has spoken."""
        return self._session is not None

    def live_step(self, contact_ms, direction, confidence, stability):
        """Tell a listening host of a settled step."""
        session = self._session
        if session is not None and session.wants_live:
            self._stdout.write(encode_line(session.live_step(contact_ms, direction, confidence, stability)))

    def live_cue(self, at_ms, pattern):
        """Tell a listening host of a pattern (index) that was played."""
        session = self._session
        if session is not None and session.wants_live:
            self._stdout.write(encode_line(session.live_cue(at_ms, pattern)))

    def raw_block(self, first_index, samples, count):
        """Hand a block of samples to a recording host; nothing to any other."""
        if self._session is None or not self._session.wants_raw:
            return
        for at in range(0, count, _RAW_SAMPLES):
            part = memoryview(samples)[at * _CHANNELS :]
            message = self._session.raw_block(first_index + at, part, min(_RAW_SAMPLES, count - at))
            self._stdout.write(encode_line(message))

    def mark(self, next_index, presses):
        """Tell a recording host that the button was pressed; True if there is one."""
        if self._session is None or not self._session.wants_raw:
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
                    await self._handle(message)
            elif len(line) < MAX_LINE_BYTES:
                line.extend(byte)

    async def _handle(self, message):
        try:
            if self._session is None:
                gc.collect()
                from firmware.link.session import Session

                self._session = Session(self._device)
            await self._session.handle(message, self._send)
        except MemoryError:
            # The host asks again.
            gc.collect()
