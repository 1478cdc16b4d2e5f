"""What can go wrong with an export or import."""


class ExportError(Exception):
    """The export can't be written."""


class ExportUnsuitable(ExportError):
    """What was asked for does not go together: a format and a level, or a format and a place."""


class ImportRefused(Exception):
    """The file is no export of this tool, or its steps are in the database already."""
