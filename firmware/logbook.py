"""Writes the step log: turns steps, faults, cues and anchors into journal records, and flushes them in time.

A power cut loses at most the steps of the last FLUSH_AFTER_MS; a record that was flushed is never lost. Steps wait
in RAM until the oldest is that old, then become one record. Everything else is written at once with them. A volume
that refuses to take a record does not stop the counting: the records wait in RAM and every later flush tries again.
"""

from journal import Journal, JournalFull, write_atomically

from firmware import steplog

_TOTALS = "/totals"
_FLUSHES_PER_CHECKPOINT = 32


class Logbook:
    """The log in `folder`, for one boot.

    uptime_ms: function, ms since this boot. log_id: u32, used if the log is new. cause, placement: indices into
    steplog.RESET_CAUSES and PLACEMENTS. Writes the BOOT record at once. Raises OSError if the folder can't be used.
    """

    def __init__(
        self, folder, uptime_ms, log_id, cause, placement, firmware, model_id, board, budget_bytes=1_700_000
    ):
        self._folder = folder
        self._uptime_ms = uptime_ms
        self._lost = None
        self.write_failures = 0
        self.journal = Journal(
            folder, steplog.FORMAT_VERSION, log_id, budget_bytes=budget_bytes, on_lost=self._note_lost
        )
        self.totals = steplog.Totals()
        self._restore_totals()
        boot = steplog.encode_boot(cause, placement, uptime_ms(), firmware, model_id, board)
        self.boot_sequence = self.journal.append(steplog.BOOT, boot)
        self._tag = self.boot_sequence & 0xFFFF
        self._chunk = steplog.StepChunk(self._tag, placement, steplog.model_tag(model_id))
        self._flushes = 0
        self.flush()
        self._checkpoint()

    def _note_lost(self, first, last):
        self._lost = (self._lost[0] if self._lost else first, last)

    def _restore_totals(self):
        since = 0
        try:
            with open(self._folder + _TOTALS, "rb") as file:
                since = self.totals.restore(file.read())
        except OSError:
            # A new log, or a power cut before the first checkpoint: the records hold everything.
            since = 0
        for _, kind, payload in self.journal.records(since):
            if kind == steplog.STEPS:
                self.totals.add_payload(payload)

    def _checkpoint(self):
        try:
            write_atomically(self._folder + _TOTALS, self.totals.checkpoint(self.journal.flushed_sequence))
        except OSError as error:
            self.write_failures += 1
            print("logbook: totals not saved:", error)

    def add_step(self, contact_ms, direction, confidence, stability):
        """One settled step. contact_ms: uptime of the contact; direction: index; confidence: %; stability or None."""
        if self._chunk.full:
            self.flush()
        self._chunk.add(contact_ms, direction, confidence, stability)

    def add_fault(self, kind, count):
        """A fault of the sensor or the log (index into steplog.FAULTS) and how much it cost."""
        self.journal.append(steplog.FAULT, steplog.encode_fault(self._tag, self._uptime_ms(), kind, count))

    def add_cue(self, pattern):
        """A haptic pattern (index into steplog.PATTERNS) was played."""
        self.journal.append(steplog.CUE, steplog.encode_cue(self._tag, self._uptime_ms(), pattern))

    def add_anchor(self, uptime_ms, utc_ms, uncertainty_ms):
        """A host told the time: flushed, and the record's sequence number returned."""
        sequence = self.journal.append(
            steplog.ANCHOR, steplog.encode_anchor(self._tag, uptime_ms, utc_ms, uncertainty_ms)
        )
        self.flush()
        return sequence

    def counts(self):
        """Steps by direction (as in steplog.DIRECTIONS) since the log began, those still in RAM included."""
        counts = list(self.totals.counts)
        for direction, steps in enumerate(self._chunk.counts):
            counts[direction] += steps
        return counts

    def flush_if_due(self):
        """Flush if the oldest step in RAM is FLUSH_AFTER_MS old; True if it did."""
        if self._chunk.count and self._uptime_ms() - self._chunk.first_ms >= steplog.FLUSH_AFTER_MS:
            self.flush()
            return True
        return False

    def flush(self):
        """Make everything durable; on a volume that refuses, keep it and count the failure."""
        if self._chunk.count:
            payload = self._chunk.payload()
            self.journal.append(steplog.STEPS, payload)
            self.totals.add_payload(payload)
            self._chunk.clear()
        try:
            self.journal.flush()
            if self._lost:
                lost, self._lost = self._lost, None
                gap = steplog.encode_gap(self._tag, self._uptime_ms(), *lost)
                self.journal.append(steplog.GAP, gap)
                self.journal.flush()
        except (OSError, JournalFull) as error:
            self.write_failures += 1
            print("logbook: not written yet:", error)
            return
        self._flushes += 1
        if self._flushes % _FLUSHES_PER_CHECKPOINT == 0:
            self._checkpoint()

    def close(self):
        """Flush, save the totals, close the segment: before a planned reset."""
        self.flush()
        self._checkpoint()
        self.journal.close()
