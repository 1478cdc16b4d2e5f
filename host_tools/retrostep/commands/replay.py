"""`retrostep replay`: what the firmware would have made of recordings."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep import recording
from retrostep.progress import progress
from retrostep.recording import Recording, RecordingError
from retrostep.replay import DIRECTIONS, Replay, Replayer, ReplayError

EXIT_SOME_FAILED = 2


def register(app: typer.Typer) -> None:
    app.command(name="replay")(replay)


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings (recording-1, .npz).", metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line and file.")] = False,
    placement: Annotated[
        str | None, typer.Option(help="waist, shoe or pocket; default: the recording's.")
    ] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Learn the mounting from this recording of forward walking.")
    ] = None,
    yaw_deg: Annotated[float, typer.Option(help="Turn the clip about its z axis.")] = 0.0,
    tilt_deg: Annotated[float, typer.Option(help="Then tilt it about its own y axis.")] = 0.0,
    rate_hz: Annotated[
        float | None, typer.Option(help="Resample to this rate, 20 to 250 Hz (default: as recorded).")
    ] = None,
    noise: Annotated[
        int | None, typer.Option(help="Add sensor noise with this seed (default: none).")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="With this learned model (docs/training.md).", dir_okay=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Recordings replayed at a time.", min=1)] = 1,
) -> None:
    """Run the firmware's gait code over recordings and print the steps it finds.

    Exit code 2 if a file could not be replayed; the others are still done.
    """
    if placement not in (None, *recording.PLACEMENTS):
        raise typer.BadParameter(
            f"{placement!r}, expected one of {', '.join(recording.PLACEMENTS)}", param_hint="--placement"
        )
    errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def prepared(path: Path) -> Recording:
        one = recording.load(path)
        if yaw_deg or tilt_deg:
            one = one.rotated(yaw_deg, tilt_deg)
        if rate_hz is not None:
            one = one.resampled(rate_hz)
        return one if noise is None else one.with_noise(noise)

    mounting = None
    if calibrate is not None:
        with Replayer() as replayer:
            try:
                mounting = replayer.calibrate(recording.load(calibrate), placement)
            except (RecordingError, ReplayError, OSError) as error:
                errors.print(str(error), style="red", markup=False)
                raise typer.Exit(EXIT_SOME_FAILED) from error

    workers = local()
    replayers: list[Replayer] = []

    def run(path: Path) -> Replay | Exception:
        if not hasattr(workers, "replayer"):
            workers.replayer = Replayer(model)
            replayers.append(workers.replayer)
        try:
            return workers.replayer.replay(prepared(path), placement, mounting)
        except (RecordingError, ReplayError, OSError) as error:
            return error

    def results() -> Iterator[tuple[Path, Replay | Exception]]:
        if jobs == 1:
            yield from ((path, run(path)) for path in files)
            return
        with ThreadPoolExecutor(jobs) as pool:
            yield from zip(files, pool.map(run, files), strict=True)

    table = Table(
        title="Steps as the firmware counts them",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("file", overflow="fold")
    for column in ("duration s", *DIRECTIONS):
        table.add_column(column, justify="right")
    table.add_column("events")
    failed = False
    try:
        with progress("replaying", len(files), console=errors) as done:
            for path, result in results():
                if isinstance(result, Exception):
                    failed = True
                    errors.print(_naming(path, result), style="red", markup=False)
                elif as_json:
                    typer.echo(json.dumps(result.as_json(str(path))))
                else:
                    counts = [str(count) for count in result.counts().values()]
                    seen = ", ".join(f"{kind} at {t:.1f}" for t, kind in result.events)
                    table.add_row(path.name, f"{result.duration_s:.1f}", *counts, seen)
                done()
    finally:
        for replayer in replayers:
            replayer.close()
    if not as_json and table.row_count:
        Console().print(table)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _naming(path: Path, error: Exception) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
