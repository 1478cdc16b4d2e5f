"""Signs of life on stderr for work that may take more than a second; never where nobody sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.status import Status

SILENT_S = 1.0


def waiting(what: str) -> Status:
    """Context manager: says what is done as long as it is done, where its length can't be told."""
    return Console(stderr=True).status(what)


@contextmanager
def bar_when_told(
    *columns: ProgressColumn, console: Console, transient: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """Yields what to tell (done, total); the bar comes with the first word of it.

    So work that fails before it makes progress, as at a port that can't be opened, leaves no empty line.
    """
    bar = Progress(*columns, console=console, transient=transient)

    def show(done: int, total: int) -> None:
        if not bar.tasks:
            bar.start()
            bar.add_task("", total=None)
        bar.update(bar.tasks[0].id, completed=done, total=max(done, total))

    try:
        yield show
    finally:
        if bar.tasks:
            bar.stop()


@contextmanager
def progress(
    what: str,
    total: int,
    every: int = 1,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[], None]]:
    """Yields what to call after each of `total` steps of the work that `what` names; the bar comes after a second.

    every: look at the clock and draw after so many steps only, where a step costs less than that.
    """
    shown = console or Console(stderr=True)
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
    )
    task = bar.add_task(what, total=total)
    began = clock()
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done % every == 0 and shown.is_terminal:
            if not bar.live.is_started and clock() - began > SILENT_S:
                bar.start()
            bar.update(task, completed=done)

    try:
        yield step
    finally:
        # One that never began would still end with an empty line.
        if bar.live.is_started:
            bar.stop()
