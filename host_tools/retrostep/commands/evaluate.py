"""`retrostep evaluate`: how well the firmware counts on a folder of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

EXIT_BAD_INPUT = 2


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(name="evaluate")(evaluate)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings (recording-1, .npz).", metavar="DIR")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this source; may be given again.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A seeded sample, for a first look.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of noise, cuts and sample.")] = 1,
    jobs: Annotated[int, typer.Option(help="Recordings replayed at a time.", min=1)] = 2,
) -> None:
    """Replay a folder of labelled recordings and print how right the firmware is.

    Exit code 2 if the folder holds no recording, or a file could not be used; the others are still done.
    """
    from retrostep import evaluation

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with Progress(console=errors, transient=True) as progress:
            task = progress.add_task("replaying", total=None)
            result = evaluation.evaluate(
                folder,
                only=only or (),
                quick=quick,
                seed=seed,
                jobs=jobs,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    except evaluation.NoRecordings as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from error
    from retrostep.evaluation import console

    console.show(result, Console())
    for skipped in result.skipped:
        errors.print(f"skipped: {skipped}", style="red", markup=False)
    if result.skipped:
        raise typer.Exit(EXIT_BAD_INPUT)
