"""Replays recordings, several at a time, each thread holding one MicroPython interpreter."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import local
from typing import TypeVar

from retrostep.replay import Replayer

Job = TypeVar("Job")
Answer = TypeVar("Answer")


def each(
    jobs: Iterable[Job],
    work: Callable[[Replayer, Job], Answer],
    parallel: int,
    model: Path | None = None,
) -> Iterator[tuple[Job, Answer]]:
    """(job, work(replayer, job)) in the order of the jobs, `parallel` of them at a time; model: as for Replayer."""
    jobs = list(jobs)
    own = local()
    with ExitStack() as replayers:

        def run(job: Job) -> Answer:
            if not hasattr(own, "replayer"):
                own.replayer = replayers.enter_context(Replayer(model))
            return work(own.replayer, job)

        pool = ThreadPoolExecutor(parallel)
        try:
            yield from zip(jobs, pool.map(run, jobs), strict=True)
        finally:
            # After Ctrl-C nobody wants the thousands that still wait.
            pool.shutdown(cancel_futures=True)
