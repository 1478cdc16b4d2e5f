"""The failures a user can meet; the command line shows their message instead of a traceback."""

from retrostep.board.errors import BoardError
from retrostep.flash import FlashFailed
from retrostep.interpreter import InterpreterMissing
from retrostep.link import LinkError
from retrostep.logfiles import LogFilesError
from retrostep.recording import RecordingError
from retrostep.replay import ReplayError
from retrostep.store import StoreError

EXPECTED = (
    BoardError,
    FlashFailed,
    InterpreterMissing,
    LinkError,
    LogFilesError,
    RecordingError,
    ReplayError,
    StoreError,
)
