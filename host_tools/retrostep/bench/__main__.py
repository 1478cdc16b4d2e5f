"""`make bench`, `make baseline`, `make performance`: print figures, one a line: name, value, unit, limit.

The exit code is 1 if a figure is beyond its limit, or worse than the baseline allows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from retrostep.bench import baseline, document, esp32, memory, product, stages
from retrostep.bench.figure import Figure
from retrostep.instruction_count import ValgrindMissing


def exact_figures() -> Iterator[Figure]:
    """Those that are the same on every run."""
    yield from stages.figures()
    yield from memory.figures()


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="retrostep.bench", description="Figures, one a line: name, value, unit, limit"
    )
    parser.add_argument("--exact", action="store_true", help="only those that are the same on every run")
    parser.add_argument(
        "--write-baseline", action="store_true", help="keep the exact ones as the new baseline"
    )
    parser.add_argument("--write-page", type=Path, metavar="FILE", help="write the page of the exact ones")
    asked = parser.parse_args(arguments)
    if asked.write_baseline or asked.write_page:
        return _write(asked.write_baseline, asked.write_page)
    known = baseline.read()
    measured = []
    for figure in exact_figures():
        measured.append(baseline.with_limit(figure, known))
        print(measured[-1], flush=True)
    new, absent = baseline.missing(measured, known)
    for names, what in ((new, "not in the baseline"), (absent, "in the baseline, not measured")):
        if names:
            print(f"{what}: {', '.join(names)} (make baseline)", file=sys.stderr)
    if not asked.exact:
        for figure in product.figures():
            measured.append(figure)
            print(figure, flush=True)
    missed = [figure.name for figure in measured if not figure.held]
    if missed:
        print(f"beyond the limit: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _write(new_baseline: bool, page: Path | None) -> int:
    try:
        a_pass = esp32.instructions_a_pass()
    except ValgrindMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    measured = list(exact_figures())
    for figure in measured:
        print(figure)
    if new_baseline:
        baseline.write(measured)
    if page:
        page.write_text(document.page(measured, a_pass))
    return 0 if all(figure.held for figure in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
