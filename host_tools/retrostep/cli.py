"""The `retrostep` command: gathers the sub-commands, one module each in `commands/`.

Exit codes: 0 done; 1 something failed (the message says what to do); 2 bad input. A failure is one line on
stderr; with --debug its traceback is shown as well.
"""

import sys
import traceback
from typing import NoReturn

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
    mqtt,
    plan,
    power,
    radio,
    record,
    replay,
    report,
    settings,
    test3m,
    train,
    watch,
    wifi,
)

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed, or found something wrong; 2 bad input. The message says what to do."
)
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

app = typer.Typer(
    help="Retrostep: count backward steps, apart from forward ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"retrostep {__version__}")
        raise typer.Exit


class _Choices:
    """Options before the command that outlive its run."""

    debug = False


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of a failure."),
) -> None:
    _Choices.debug = debug


for module in (
    demo,
    device,
    radio,
    bonds,
    settings,
    watch,
    test3m,
    report,
    export,
    doctor,
    power,
    record,
    replay,
    evaluate,
    train,
    board,
    board_check,
    flash,
    log,
    plan,
    mqtt,
    wifi,
    database,
):
    module.register(app)


def _tell_exit_codes(group: typer.Typer) -> None:
    """Every --help ends with the exit codes."""
    for command in group.registered_commands:
        command.epilog = command.epilog or EXIT_CODES
    for inner in group.registered_groups:
        inner.epilog = EXIT_CODES
        if inner.typer_instance is not None:
            _tell_exit_codes(inner.typer_instance)


app.info.epilog = EXIT_CODES
_tell_exit_codes(app)


def _fail(text: str, code: int) -> NoReturn:
    if _Choices.debug:
        traceback.print_exc()
    Console(stderr=True, soft_wrap=True).print(
        f"retrostep: {text}", style="red", markup=False, highlight=False
    )
    sys.exit(code)


def main() -> None:
    """Entry point: failures become one line on stderr."""
    from retrostep.errors import BAD_INPUT, EXPECTED

    _Choices.debug = False
    try:
        app()
    except EXPECTED as error:
        _fail(str(error), EXIT_BAD_INPUT if isinstance(error, BAD_INPUT) else EXIT_FAILED)
    except OSError as error:
        # Of a file that was named: they say which and why.
        _fail(str(error), EXIT_FAILED)
    except Exception as error:
        _fail(
            f"this should not happen: {type(error).__name__}: {error}. `retrostep --debug ...` shows where; please "
            "report it",
            EXIT_FAILED,
        )
