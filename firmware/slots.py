"""Which application is installed where, and which is trusted: the file /slots that boot.py obeys.

"active good tries [failed]": the slot to start, the one to go back to, how many starts the active one has left while
it is on trial, and the one that was given up. A slot is a folder at the top, "a" or "b"; "/" is the root.
"""

from journal import write_atomically

PATH = "/slots"
ROOT = "/"
TRIES = 3


def read():
    """(active, good, tries, failed or ""); no or an unreadable file: the application lies in the root."""
    try:
        with open(PATH) as file:
            fields = file.read().split()
        return fields[0], fields[1], int(fields[2]), fields[3] if len(fields) > 3 else ""
    except (OSError, ValueError, IndexError):
        return ROOT, ROOT, 0, ""


def spare():
    """The slot that an update may write to: never the good one."""
    return "b" if read()[1] == "a" else "a"


def start_trial(slot):
    """From the next start on `slot` runs, on trial. Raises OSError."""
    write_atomically(PATH, ("%s %s %d" % (slot, read()[1], TRIES)).encode())


def confirm():
    """The running application is healthy: it is the good one from now on. The slot that was given up, or "".

    Raises OSError.
    """
    active, good, _, failed = read()
    if active != good or failed:
        write_atomically(PATH, ("%s %s 0" % (active, active)).encode())
    return failed
