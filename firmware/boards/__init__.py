"""Board profiles: one file a board, pins and parts only. `board` is the profile in use.

/board.txt on the device names the profile (the file's name without .py); without that file it is DEFAULT. To adapt
Retrostep to a board, copy a profile, edit its pins, and put its name into board.txt.
"""

DEFAULT = "xiao_esp32s3"
CHOICE_FILE = "/board.txt"


class BoardUnknown(Exception):
    """board.txt names a profile that is not there."""


def _load():
    try:
        with open(CHOICE_FILE) as file:
            name = file.read().strip() or DEFAULT
    except OSError:
        name = DEFAULT
    try:
        return __import__("firmware.boards." + name, None, None, ("NAME",))
    except ImportError:
        raise BoardUnknown(
            "%s names %r: expected a file of that name in firmware/boards; correct or remove %s"
            % (CHOICE_FILE, name, CHOICE_FILE)
        )


board = _load()
