"""`retrostep demo`: the whole chain on the virtual board."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command()
    def demo(
        walk: Path | None = typer.Option(
            None,
            "--walk",
            help="A recording to walk (default: two synthetic minutes: forward, back, forward).",
        ),
        speed: float = typer.Option(
            6.0, "--speed", min=0.1, max=50.0, help="How many times faster than life."
        ),
    ) -> None:
        """Walk in, steps out, on the virtual board: no hardware needed."""
        from retrostep import demo as chain
        from retrostep.recording import load
        from retrostep.walker import demo_walk

        chain.run(load(walk) if walk else demo_walk().recording("waist"), Console(), speed)
