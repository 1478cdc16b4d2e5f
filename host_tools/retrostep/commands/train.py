"""`retrostep train` and `retrostep model show | compare | install | remove`: learned models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep import flash
from retrostep.outfile import check_target

EXIT_BAD_INPUT = 2
# Where there is no terminal to ask, the widest table fits.
FILE_COLUMNS = 200
ON_DEVICE = "/model.py"
_HELD_OUT = "The model by itself, on people held out: steps"

Folders = Annotated[list[Path], typer.Argument(help="Folders of recordings.", metavar="FOLDER...")]
File = Annotated[Path, typer.Argument(help="A file that `retrostep train` wrote.", metavar="FILE")]
Port = Annotated[str, typer.Option("--port", "-p", help="Serial port of the device.")]
Jobs = Annotated[int, typer.Option(help="Recordings replayed at a time.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(name="train")(train)
    model = typer.Typer(help="Learned models: show, compare, install, remove.", no_args_is_help=True)
    for command in (show, compare, install, remove):
        model.command(name=command.__name__)(command)
    app.add_typer(model, name="model")


def train(
    folders: Folders,
    out: Annotated[Path, typer.Option("--out", help="The model file to write (.py).", dir_okay=False)],
    seed: Annotated[int, typer.Option(help="Equal seeds and recordings give equal models.")] = 1,
    kind: Annotated[str, typer.Option(help="logistic or trees.")] = "logistic",
    jobs: Jobs = 2,
    as_json: AsJson = False,
) -> None:
    """Learn directions from recordings and test the result on people held out, one after the other.

    Exit code 2 if there is too little to learn from.
    """
    # Heavy, and of no use to the other commands.
    from retrostep.training import comparison, modelfile, trainer

    check_target(out)
    progress = Console(stderr=True, highlight=False)
    with _bad_input(), progress.status("reading recordings") as shown:
        made = trainer.train(folders, kind=kind, seed=seed, jobs=jobs, progress=shown.update)
        model = modelfile.write(out, made.text)
    for reason, count in sorted(made.refused.items()):
        progress.print(f"not used: {count} of {reason}", style="yellow", markup=False)
    for person in made.not_tested:
        progress.print(
            f"not tested on {person}: the others have no forward or no backward step",
            style="yellow",
            markup=False,
        )
    table = comparison.table(made.held_out, "On people held out, each with a model of all others")
    if as_json:
        print(
            json.dumps(
                {
                    "model": model.model_id,
                    "file": str(out),
                    "summary": made.summary,
                    "held_out": table.as_json(),
                    "verdict": comparison.verdict(made.held_out),
                    "not_used": made.refused,
                    "not_tested": made.not_tested,
                }
            )
        )
        return
    console = _console()
    _show_summary(console, model.model_id, made.summary)
    _show_comparison(console, made.held_out, table.title)
    console.print(f"{out} written: {out.stat().st_size} bytes, {model.model_id}", highlight=False)


def show(file: File, as_json: AsJson = False) -> None:
    """What a model file says of itself: recordings it was made from, and how it did on people held out."""
    from retrostep.training import modelfile

    with _bad_input():
        model = modelfile.read(file)
    if as_json:
        print(json.dumps({"model": model.model_id, "file": str(file), "summary": model.summary}))
    else:
        _show_summary(_console(), model.model_id, model.summary)


def compare(file: File, folders: Folders, jobs: Jobs = 2, as_json: AsJson = False) -> None:
    """Physics alone against physics with the model, on people whom the model has not seen."""
    from retrostep.training import comparison, modelfile, trainer

    progress = Console(stderr=True, highlight=False)
    with _bad_input(), progress.status("replaying recordings"):
        model = modelfile.read(file)
        loaded, seen_people = trainer.strangers(model, folders)
        rows = comparison.compare(loaded, file, jobs)
    if seen_people:
        progress.print(
            f"left out, since the model was made from them: {', '.join(seen_people)}", markup=False
        )
    title = f"{model.model_id} on people it has not seen"
    if as_json:
        table = comparison.table(rows, title).as_json()
        print(json.dumps({"model": model.model_id, **table, "verdict": comparison.verdict(rows)}))
    else:
        _show_comparison(_console(), rows, title)


def install(file: File, port: Port) -> None:
    """Put a model onto the device and restart it. `retrostep status` then names it."""
    from retrostep.training import modelfile

    with _bad_input():
        model = modelfile.read(file)
    flash.mpremote(port, "cp", str(file), f":{ON_DEVICE}")
    flash.mpremote(port, "resume", "reset")
    print(f"{model.model_id} installed, device restarted")


def remove(port: Port) -> None:
    """Take the model off the device and restart it: physics decides alone."""
    flash.mpremote(port, "rm", f":{ON_DEVICE}")
    flash.mpremote(port, "resume", "reset")
    print("model removed, device restarted")


@contextmanager
def _bad_input() -> Iterator[None]:
    """What can't be used becomes one line on stderr and exit code 2."""
    from retrostep.training import TrainingError

    try:
        yield
    except TrainingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(EXIT_BAD_INPUT) from error


def _console() -> Console:
    return Console(highlight=False) if sys.stdout.isatty() else Console(width=FILE_COLUMNS, highlight=False)


def _show_summary(console: Console, model_id: str, summary: dict[str, Any]) -> None:
    console.print(f"{model_id}: {summary['kind']}, seed {summary['seed']}, data {summary['data'][:16]}")
    steps = Table("made from", "true", "people", "steps", box=box.SIMPLE_HEAD)
    for name, classes in summary["steps"].items():
        for true, count in classes.items():
            steps.add_row(name, true, str(count["people"]), str(count["steps"]))
    console.print(steps)
    for name, classes in summary["held_out"].items():
        title = f"{_HELD_OUT} ({name})"
        held_out = Table("true", *classes, title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for true, said in classes.items():
            held_out.add_row(true, *map(str, said.values()))
        console.print(held_out)


def _show_comparison(console: Console, rows: list, title: str) -> None:
    from retrostep.evaluation.console import grid
    from retrostep.training import comparison

    table = comparison.table(rows, title)
    console.print(grid(table))
    console.print(table.note, style="dim", markup=False)
    console.print(comparison.verdict(rows), markup=False)
