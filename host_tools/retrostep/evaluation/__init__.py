"""How well the firmware counts, measured on recordings: see study.py, and docs/accuracy.md for the result."""

from retrostep.evaluation.study import Evaluation, NoRecordings, evaluate

__all__ = ("Evaluation", "NoRecordings", "evaluate")
