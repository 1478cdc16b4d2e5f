"""Learned models: from labelled recordings to MicroPython source, and what a model is worth. See docs/training.md.

examples.py     recordings -> steps with features, true direction and person
logistic.py     multinomial logistic regression        both give Tables: integers,
trees.py        bagged decision trees                  and the code that uses them
modelfile.py    the file that goes onto the device: written, read, checked
trainer.py      one model of all people; one for each person, of all others
comparison.py   physics alone against physics with a model, on people it has not seen
"""

from retrostep.training.errors import TrainingError

__all__ = ("TrainingError",)
