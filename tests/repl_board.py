"""A virtual board that runs no application: its REPL runs the test's code."""

from contextlib import contextmanager

from retrostep.board import VirtualBoard, console


@contextmanager
def repl_board(image, setup, **options):
    """The board and run(code), which returns what the code printed; `setup` has run there. As fast as it goes."""
    with VirtualBoard(image, **{"speed": None, **options}) as board:
        # Ctrl-C in the middle of boot.py would break its imports off.
        board.wait_for_output(b">>> ", timeout_s=30)
        link = board.serial()
        console.enter(link, timeout_s=30)

        def run(code):
            return console.execute(link, code, timeout_s=120).strip()

        run(setup)
        yield board, run
