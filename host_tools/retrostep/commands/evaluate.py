"""`retrostep evaluate`: how right the firmware is on a folder of labelled recordings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from retrostep.outfile import check_target, write_file
from retrostep.progress import bar_when_told

EXIT_BAD_INPUT = 2
# Where there is no terminal to ask, the widest table fits.
FILE_COLUMNS = 240


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(name="evaluate")(evaluate)


def _tell_acquaintances(errors: Console, model: Path, people: set[str]) -> None:
    """Say of how many of the people that were judged the model was made."""
    from retrostep.training import modelfile, trainer

    known = set(modelfile.read(model).summary["people"])
    acquainted = sum(trainer.person_code(person) in known for person in people)
    if acquainted:
        errors.print(
            f"{model.name} was made from {acquainted} of the {len(people)} people here: with them these figures are "
            "no test of it. `retrostep model compare` leaves them out.",
            style="yellow",
            markup=False,
        )


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings (recording-1, .npz).", metavar="DIR")],
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file.", dir_okay=False)
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page with plots (.html).", dir_okay=False)
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables as Markdown.", dir_okay=False)
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="SOURCE", help="This source only; may be repeated.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A seeded sample, for a first look.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of noise, cuts and sample.")] = 1,
    model: Annotated[
        Path | None, typer.Option(help="With this learned model (docs/training.md).", dir_okay=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Recordings replayed at a time.", min=1)] = 2,
) -> None:
    """Replay a folder of labelled recordings and print how right the firmware is.

    Exit code 2 if the folder holds no recording, or a file could not be used; the others are still done.
    """
    # Heavy, and of no use to the other commands.
    from retrostep import evaluation
    from retrostep.evaluation import console, document

    check_target(as_json, markdown, page)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        columns = (TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with bar_when_told(*columns, console=errors) as show:
            result = evaluation.evaluate(
                folder,
                only=only or (),
                quick=quick,
                seed=seed,
                jobs=jobs,
                model=model,
                progress=show,
            )
    except evaluation.NoRecordings as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from error
    terminal = Console()
    console.show(result, terminal if terminal.is_terminal else Console(width=FILE_COLUMNS))
    command = evaluation.command_line(sys.argv[1:])
    if as_json is not None:
        write_file(as_json, json.dumps(document.as_json(result, command), indent=1) + "\n")
    if markdown is not None:
        write_file(markdown, document.as_markdown(result, command))
    if page is not None:
        from retrostep.evaluation.page import as_page

        write_file(page, as_page(result, command))
    if model is not None:
        _tell_acquaintances(errors, model, {score.facts.person for score in result.scores})
    for skipped in result.skipped:
        errors.print(f"skipped: {skipped}", style="red", markup=False)
    if result.skipped:
        raise typer.Exit(EXIT_BAD_INPUT)
