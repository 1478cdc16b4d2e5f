"""The `retrostep` command: gathers the sub-commands, one module each in `commands/`.

Exit codes: 0 done; 1 something failed (the message says what to do); 2 bad input.
"""

import sys

import typer
from rich.console import Console

from retrostep import __version__
from retrostep.commands import (
    board,
    board_check,
    bonds,
    database,
    demo,
    device,
    doctor,
    evaluate,
    export,
    flash,
    log,
    radio,
    record,
    replay,
    report,
    settings,
    train,
)

app = typer.Typer(
    help="Retrostep: count backward steps, apart from forward ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"retrostep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


for module in (
    demo,
    device,
    radio,
    bonds,
    settings,
    report,
    export,
    doctor,
    record,
    replay,
    evaluate,
    train,
    board,
    board_check,
    flash,
    log,
    database,
):
    module.register(app)


def main() -> None:
    """Entry point: expected failures become one line on stderr, without a traceback."""
    from retrostep.errors import BAD_INPUT, EXPECTED

    try:
        app()
    except EXPECTED as error:
        Console(stderr=True, soft_wrap=True).print(
            f"retrostep: {error}", style="red", markup=False, highlight=False
        )
        sys.exit(2 if isinstance(error, BAD_INPUT) else 1)
