"""A progress bar on stderr for work that turns out to take more than a second; never where nobody sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SILENT_S = 1.0
# Looking at the clock and drawing cost more than most steps of the work.
_EVERY = 256


@contextmanager
def progress(
    what: str, total: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Yields what to call after each of `total` steps of the work that `what` names."""
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
        if done % _EVERY == 0 and shown.is_terminal:
            if not bar.live.is_started and clock() - began > SILENT_S:
                bar.start()
            bar.update(task, completed=done)

    try:
        yield step
    finally:
        bar.stop()
