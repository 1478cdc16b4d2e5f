"""`retrostep watch`: a walk step by step while it is being walked."""

from __future__ import annotations

import asyncio
import contextlib
import json

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.link import Link, LiveCue, LiveStep
from retrostep.watching import Walk, as_fields

ASK_AGAIN_S = 45.0
"""The device tells live steps for a minute."""
DIRECTION_STYLES = {"backward": "bold green", "forward": "cyan", "sideways": "magenta", "unknown": "yellow"}


def view(walk: Walk) -> Group:
    """What a terminal shows of the walk: the state in large, the last events below."""
    direction = walk.direction or "waiting for steps"
    state = Table.grid(padding=(0, 4))
    state.add_row(
        Text(direction, style=DIRECTION_STYLES.get(direction, "dim")),
        f"{'-' if walk.cadence_per_min is None else walk.cadence_per_min} steps/min",
        f"stability {'-' if walk.stability is None else walk.stability}",
        "  ".join(f"{name} {count}" for name, count in sorted(walk.counts.items())),
    )
    return Group(state, *(Text(line, style="dim") for line in walk.lines), Text("Ctrl-C ends", style="dim"))


async def follow(link: Link, seconds: float | None) -> None:
    """Listen to live steps and cues, for so long or for ever. Raises LinkError."""
    clock = asyncio.get_running_loop()
    end = None if seconds is None else clock.time() + seconds
    while end is None or clock.time() < end:
        await link.live(True)
        pause = ASK_AGAIN_S if end is None else min(ASK_AGAIN_S, max(end - clock.time(), 0))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(link.listen(), pause)
    await link.live(False)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command()
    def watch(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        seconds: float | None = typer.Option(
            None, "--seconds", min=0.1, help="End after so many seconds (default: at Ctrl-C)."
        ),
        as_json: bool = JSON,
    ) -> None:
        """Show direction, cadence, stability and cues step by step; plain lines where it is piped."""
        console = Console()
        walk = Walk()
        live = Live(view(walk), console=console, auto_refresh=False, transient=False)
        drawn = console.is_terminal and not as_json

        def on_live(event: LiveStep | LiveCue) -> None:
            walk.add(event)
            if drawn:
                live.update(view(walk), refresh=True)
            elif as_json:
                print(json.dumps(as_fields(event, walk.cadence_per_min)), flush=True)
            else:
                print(walk.lines[-1], flush=True)

        async def work(link: Link) -> None:
            status = await link.status()
            walk.steps_per_contact = 2 if status.get("placement") == "shoe" else 1
            link.on_live = on_live
            with live if drawn else contextlib.nullcontext():
                await follow(link, seconds)

        with contextlib.suppress(KeyboardInterrupt):
            over_link(port, radio, address, work)
