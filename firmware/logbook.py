"""Writes the step log: turns steps, faults, cues and anchors into journal records, and flushes them in time.

A power cut loses at most the steps of the last FLUSH_AFTER_MS; a record that was flushed is never lost. Steps wait
in RAM until the oldest is that old, then become one record. Everything else is written at once with them. A volume
that refuses to take a record does not stop the counting: the records wait in RAM and every later flush tries again.
"""

import os

from journal import SEGMENT_BYTES, Journal, JournalFull, write_atomically
from micropython import const

from firmware import steplog, unload

_TOTALS = "/totals"
_FLUSHES_PER_CHECKPOINT = const(32)
# A volume that takes nothing for hours must not take the heap along: two hours of walking fit into this.
_PENDING_LIMIT_BYTES = const(16_384)
# Where an erased log waits until its files are removed, a few at a time: a long log would stall the sampling.
_ERASED = ".erased"
_REMOVED_AT_ONCE = const(4)


class Logbook:
    """The log in `folder`, for one boot.

    uptime_ms: function, ms since this boot. log_id: u32, used if the log is new. cause, placement: indices into
    steplog.RESET_CAUSES and PLACEMENTS. alive: called at each record while the whole log has to be read, for a
    watchdog. Writes the BOOT record at once. Raises OSError if the folder can't be used.
    """

    def __init__(
        self,
        folder,
        uptime_ms,
        log_id,
        cause,
        placement,
        firmware,
        model_id,
        board,
        budget_bytes=1_700_000,
        segment_bytes=SEGMENT_BYTES,
        alive=lambda: None,
    ):
        self._folder = folder
        self._uptime_ms = uptime_ms
        self._alive = alive
        self.write_failures = 0
        self.flushes = 0
        self._sizes = segment_bytes, budget_bytes
        self._boot = cause, placement, firmware, model_id, board
        self._erased = True
        self._begin(log_id)

    def _begin(self, log_id):
        """Open the log, or begin one, with a BOOT record."""
        self._waiting_since_ms = None
        self.journal = Journal(
            self._folder, steplog.FORMAT_VERSION, log_id, *self._sizes, on_lost=self._note_lost
        )
        unload("journal_opening")
        self.totals = steplog.Totals()
        self._restore_totals()
        cause, placement, firmware, model_id, board = self._boot
        boot = steplog.encode_boot(cause, placement, self._uptime_ms(), firmware, model_id, board)
        self.boot_sequence = self.journal.append(steplog.BOOT, boot)
        self._tag = self.boot_sequence & 0xFFFF
        self._chunk = steplog.StepChunk(self._tag, steplog.model_tag(model_id))
        self.flush()
        self._checkpoint()

    def _note_lost(self, first, last, records):
        """Unsynced records are about to go: write down how many steps that costs, and which span.

        A gap record among them is taken over into the new one, so that no loss is ever forgotten.
        """
        steps = 0
        first_step = last_step = (0, 0)
        taken_over = set()
        for kind, payload in records:
            found = 0
            if kind == steplog.STEPS:
                tag = steplog.boot_tag_of(payload)
                found, first_cs, last_cs = steplog.step_span(payload)
                begin, end = (tag, first_cs), (tag, last_cs)
            elif kind == steplog.GAP:
                first_before, found, begin, end = steplog.gap_span(payload)
                if first_before in taken_over:
                    # A power cut between telling and dropping had it told twice.
                    found = 0
                taken_over.add(first_before)
                first = min(first, first_before)
            if found:
                first_step = first_step if steps else begin
                last_step = end
                steps += found
        gap = steplog.encode_gap(self._tag, self._uptime_ms(), first, last, steps, first_step, last_step)
        self.journal.append(steplog.GAP, gap)

    def _restore_totals(self):
        since = 0
        try:
            with open(self._folder + _TOTALS, "rb") as file:
                since = self.totals.restore(file.read())
        except OSError:
            # A new log, or a power cut before the first checkpoint: the records hold everything.
            since = 0
        for _, kind, payload in self.journal.records(since):
            self._alive()
            if kind == steplog.STEPS:
                self.totals.add_payload(payload)

    def _checkpoint(self):
        try:
            write_atomically(self._folder + _TOTALS, self.totals.checkpoint(self.journal.flushed_sequence))
        except (OSError, MemoryError) as error:
            self.write_failures += 1
            print("logbook: totals not saved:", error)

    def add_step(self, contact_ms, direction, confidence, stability):
        """One settled step. contact_ms: uptime of the contact; direction: index; confidence: %; stability or None."""
        self._make_room()
        self._chunk.add_step(contact_ms, direction, confidence, stability)

    def add_bout(self, direction, stability, steps, first_ms, last_ms):
        """A bout ended: direction index, mean stability or None, number of steps, uptimes of its first and last."""
        self._make_room()
        self._chunk.add_bout(direction, stability, steps, last_ms - first_ms, last_ms)

    def add_cue(self, at_ms, pattern):
        """A haptic pattern (index into steplog.PATTERNS) was played for what happened at `at_ms`.

        Not the time of the buzz: steps with earlier contacts may still settle, and the log's time only goes forward.
        """
        self._make_room()
        self._chunk.add_cue(at_ms, pattern)

    def _make_room(self):
        if self._chunk.full:
            self.flush()

    def add_fault(self, kind, count):
        """A fault of the sensor (index into steplog.FAULTS) and how much it cost; durable with the next flush."""
        self._append(steplog.FAULT, steplog.encode_fault(self._tag, self._uptime_ms(), kind, count))

    def add_event(self, uptime_ms, kind, strength):
        """Something about the gait worth telling (index into steplog.EVENTS), strength 0..100."""
        self._append(steplog.EVENT, steplog.encode_event(self._tag, uptime_ms, kind, strength))

    def add_battery(self, battery_mv, light_sleep_ms=0, radio_ms=0, motor_ms=0):
        """The battery's voltage now, and how long light sleep, radio and motor have lasted in this boot."""
        spent = light_sleep_ms, radio_ms, motor_ms
        self._append(
            steplog.BATTERY, steplog.encode_battery(self._tag, self._uptime_ms(), battery_mv, *spent)
        )

    def add_crash(self, count, text):
        """The app crashed before this start, in the same way `count` times; text: the traceback, bytes."""
        self._append(steplog.CRASH, steplog.encode_crash(self._tag, self._uptime_ms(), count, text))

    def _append(self, kind, payload):
        """A record beside the steps: it waits no longer than they do."""
        self.journal.append(kind, payload)
        if self._waiting_since_ms is None:
            self._waiting_since_ms = self._uptime_ms()

    def add_anchor(self, uptime_ms, utc_ms, uncertainty_ms, source):
        """At that uptime it was that UTC: flushed, and the record's sequence number returned."""
        anchor = steplog.encode_anchor(self._tag, uptime_ms, utc_ms, uncertainty_ms, source)
        sequence = self.journal.append(steplog.ANCHOR, anchor)
        self.flush()
        return sequence

    def counts(self):
        """Steps by direction (as in steplog.DIRECTIONS) since the log began, those still in RAM included."""
        return [stored + waiting for stored, waiting in zip(self.totals.counts, self._chunk.counts)]

    def flush_if_due(self):
        """Flush if the oldest step or other record in RAM is FLUSH_AFTER_MS old; True if it did."""
        due_ms = self._uptime_ms() - steplog.FLUSH_AFTER_MS
        if (not self._chunk.empty and self._chunk.first_ms <= due_ms) or (
            self._waiting_since_ms is not None and self._waiting_since_ms <= due_ms
        ):
            self.flush()
            return True
        return False

    def flush(self):
        """Make everything durable; on a volume that refuses, keep it and count the failure."""
        if not self._chunk.empty:
            payload = self._chunk.payload()
            self.journal.append(steplog.STEPS, payload)
            self.totals.add_payload(payload)
            self._chunk.clear()
        try:
            self.journal.flush()
        except (OSError, JournalFull, MemoryError) as error:
            self.write_failures += 1
            print("logbook: not written yet:", error)
            if self.journal.pending_bytes > _PENDING_LIMIT_BYTES:
                self._note_lost(*self.journal.drop_pending())
            # Not at every block of samples: a full volume would be tried four times a second.
            self._waiting_since_ms = self._uptime_ms()
            return
        self._waiting_since_ms = None
        self.flushes += 1
        if self.flushes % _FLUSHES_PER_CHECKPOINT == 0:
            self._checkpoint()

    def erase(self, log_id):
        """Forget the log and begin a new one with that id. Whenever the power goes, there is the old or a new one.

        Raises OSError if the file system refuses; then the old log goes on, without its records if these had to
        make room for the new one.
        """
        while self.remove_erased():
            # One that was erased a moment ago is in the way.
            pass
        self.close()
        os.rename(self._folder, self._folder + _ERASED)
        self._erased = True
        try:
            self._begin(log_id)
        except OSError as full:
            print("logbook: what was erased has to go at once:", full)
            while self.remove_erased():
                pass
            # Nobody misses them, should the old log have to go on.
            self.journal.acknowledged = self.journal.flushed_sequence
            self._begin(log_id)

    def remove_erased(self):
        """Remove some files of an erased log; True while there may be more of them. Raises OSError."""
        if self._erased:
            folder = self._folder + _ERASED
            try:
                names = os.listdir(folder)
            except OSError:
                # Nothing was erased.
                self._erased = False
                return False
            for name in names[:_REMOVED_AT_ONCE]:
                os.remove(folder + "/" + name)
            if len(names) <= _REMOVED_AT_ONCE:
                os.rmdir(folder)
                self._erased = False
        return self._erased

    def close(self):
        """Flush, save the totals, close the segment: before a planned reset. What a volume refuses is printed."""
        self.flush()
        self._checkpoint()
        self.journal.close()
