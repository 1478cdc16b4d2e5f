"""`retrostep test3m start | show`: the 3-metre backward walk test."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from retrostep import derived
from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.commands.reading import DB, WEARER, ZONE, derive_with_bar, zone_named
from retrostep.link import Link, LinkError, WalkTestState, protocol
from retrostep.report.reference import OWN_ERROR, TEXT
from retrostep.store import Store, default_path
from retrostep.wearers import find_wearer

_ASK_EVERY_S = 0.5
# Countdown, the longest walk and the silence after it.
_LONGEST_S = 80.0
OUTCOMES = {
    "done": "done",
    "not_backward": "that was not backward: the steps went another way",
    "no_walk": "nobody walked within 15 seconds of the start signal",
    "too_long": "not at an end after a minute",
    "false_start": "walking began before the start signal: wait for the long buzz",
    "cancelled": "cancelled",
    "samples_lost": "the sensor failed meanwhile: try again",
}


class TestNotOver(LinkError):
    """The device started a test and never said that it was over."""


async def _follow(link: Link, console: Console) -> dict[str, Any]:
    """Start a test and wait for its record."""
    state: WalkTestState = await link.walk_test(protocol.WALK_TEST_START)
    clock = asyncio.get_running_loop()
    deadline = clock.time() + _LONGEST_S
    with console.status("stand with the heels at the line: three short buzzes, then a long one") as shown:
        while state.state in ("countdown", "walking"):
            if state.state == "walking":
                shown.update("walk backward to the other line, feet together, and stand")
            if clock.time() > deadline:
                raise TestNotOver("the test is not over after 80 s; is the device still there? Try again")
            await asyncio.sleep(_ASK_EVERY_S)
            state = await link.walk_test(protocol.WALK_TEST_ASK)
    if state.result is None:
        raise TestNotOver(
            "cancelled before the start signal, or the device had no room for it: try again, or restart it"
        )
    return state.result


def seconds_of(result: dict[str, Any]) -> dict[str, float | None]:
    """walk_s: from the first lift to the last contact; from_signal_s: from the start signal, as a stop watch does."""
    if result["walk_ms"] is None:
        return {"walk_s": None, "from_signal_s": None}
    return {
        "walk_s": result["walk_ms"] / 1000,
        "from_signal_s": (result["walk_ms"] + result["reaction_ms"]) / 1000,
    }


def _as_json(result: dict[str, Any]) -> dict[str, Any]:
    told = ("outcome", "direction", "steps", "stability")
    return {**{name: result[name] for name in told}, **seconds_of(result)}


def _print_result(result: dict[str, Any], console: Console) -> None:
    seconds = seconds_of(result)
    if result["outcome"] != "done":
        console.print(OUTCOMES.get(result["outcome"], result["outcome"]), style="yellow")
    if seconds["walk_s"] is not None:
        console.print(
            f"{seconds['walk_s']:.1f} s from the first foot's lift, {seconds['from_signal_s']:.1f} s from the "
            f"signal, {result['steps']} steps, {result['direction']}",
            highlight=False,
        )
    if result["outcome"] == "done" and result["direction"] == "unknown":
        console.print(
            "The device could not tell the direction: too few or too soft steps, or not calibrated."
        )


def _when(utc_ms: int | None, zone: str | None) -> str:
    if utc_ms is None:
        return "?"
    moment = datetime.fromtimestamp(utc_ms / 1000, timezone.utc).astimezone(zone_named(zone))
    return f"{moment:%Y-%m-%d %H:%M}"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    test_app = typer.Typer(help="The 3-metre backward walk test: time one, or look at those that were.")
    app.add_typer(test_app, name="test3m", no_args_is_help=True)

    @test_app.command()
    def start(
        port: str | None = PORT, radio: bool = RADIO, address: str | None = ADDRESS, as_json: bool = JSON
    ) -> None:
        """Let the device count down and time a walk; exit code 1 unless it was a test as it should be."""
        console = Console(stderr=True)
        result = over_link(port, radio, address, lambda link: _follow(link, console))
        if as_json:
            print(json.dumps(_as_json(result)))
        else:
            _print_result(result, Console())
            Console().print(f"{OWN_ERROR}\n{TEXT}", style="dim", highlight=False)
        raise typer.Exit(0 if result["outcome"] == "done" else 1)

    @test_app.command()
    def show(
        db: Path | None = DB, wearer: str | None = WEARER, zone: str | None = ZONE, as_json: bool = JSON
    ) -> None:
        """Print the tests that were synced, with the published values for comparison."""
        with Store(db or default_path(), create=False) as store:
            whose = find_wearer(store, wearer)
            derive_with_bar(store)
            found = [dict(row) for row in derived.load_walk_tests(store, whose)]
        if as_json:
            tests = [{"utc_ms": one["utc_ms"], **_as_json(one)} for one in found]
            print(json.dumps({"tests": tests, "own_error": OWN_ERROR, "reference": TEXT}))
            return
        console = Console()
        in_zone = zone or (whose.zone if whose else None)
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("when", "walk", "from signal", "steps", "stability", "outcome"):
            table.add_column(
                column, justify="right" if column in ("walk", "from signal", "steps", "stability") else "left"
            )
        for one in found:
            seconds = ["-" if value is None else f"{value:.1f} s" for value in seconds_of(one).values()]
            stability = "-" if one["stability"] is None else f"{one['stability']:.0f}"
            told = one["outcome"].replace("_", " ")
            if one["outcome"] == "done" and one["direction"] != "backward":
                told += f", direction {one['direction']}"
            table.add_row(_when(one["utc_ms"], in_zone), *seconds, str(one["steps"]), stability, told)
        console.print(
            table
            if found
            else "no test yet: press twice, or `retrostep test3m start --port PORT` (or --radio), and sync"
        )
        console.print(f"{OWN_ERROR}\n{TEXT}", style="dim", highlight=False)
