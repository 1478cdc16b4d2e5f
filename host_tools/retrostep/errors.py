"""The failures a user can meet; the command line shows their message instead of a traceback.

BAD_INPUT: what was given is at fault (exit code 2); the others of EXPECTED are failures on the way (exit code 1).
"""

from retrostep.board.errors import BoardError
from retrostep.broker import BrokerError, BrokerNotSetUp
from retrostep.export.errors import ExportError, ExportUnsuitable, ImportRefused
from retrostep.flash import FlashFailed
from retrostep.interpreter import InterpreterMissing
from retrostep.link import LinkError
from retrostep.logfiles import LogFilesError
from retrostep.outfile import OutputFailed, OutputRefused
from retrostep.recording import RecordingError
from retrostep.replay import ReplayError
from retrostep.store import StoreError
from retrostep.training_plan import PlanRefused
from retrostep.wearers import WearerUnknown

EXPECTED = (
    BoardError,
    BrokerError,
    ExportError,
    FlashFailed,
    ImportRefused,
    InterpreterMissing,
    LinkError,
    LogFilesError,
    OutputFailed,
    RecordingError,
    ReplayError,
    StoreError,
)
BAD_INPUT = (
    BrokerNotSetUp,
    ExportUnsuitable,
    ImportRefused,
    LogFilesError,
    OutputRefused,
    PlanRefused,
    RecordingError,
    WearerUnknown,
)
