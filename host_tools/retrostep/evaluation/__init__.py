"""How right the firmware is, measured on recordings: see study.py, and docs/accuracy.md for the result."""

from retrostep.evaluation.corpus import NoRecordings
from retrostep.evaluation.origin import command_line
from retrostep.evaluation.study import Evaluation, evaluate

__all__ = ("Evaluation", "NoRecordings", "command_line", "evaluate")
