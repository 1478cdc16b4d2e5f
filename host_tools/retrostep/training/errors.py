"""The failure a user can meet while training: what was seen, what was expected, what to do."""


class TrainingError(ValueError):
    """No model can be made, read or compared."""
