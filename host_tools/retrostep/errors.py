"""The failures a user can meet; the command line shows their message instead of a traceback."""

from retrostep.flash import FlashFailed
from retrostep.interpreter import InterpreterMissing
from retrostep.link import LinkError
from retrostep.recording import RecordingError
from retrostep.store import StoreError

EXPECTED = (FlashFailed, InterpreterMissing, LinkError, RecordingError, StoreError)
