"""`retrostep settings show | set`: what a device can be told to do differently."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.link import DeviceSettings
from retrostep.printable import printable

from firmware import setting_rules  # isort: skip

PAGE = "Names, units and defaults: docs/settings.md."


def _is_text_only(name: str) -> bool:
    """Whether no number fits the setting: its rule has no bounds. One that is not known here may be anything."""
    return name in setting_rules.RULES and not isinstance(setting_rules.RULES[name][1], int)


def parse_assignments(texts: list[str]) -> dict[str, Any]:
    """{"name": value} of texts like name=value. A value is JSON (30, true, null), anything else is text.

    What looks like a number stays text where a setting takes none. Raises typer.BadParameter, also for a secret:
    every user of the computer can see arguments.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r}: expected NAME=VALUE", param_hint="NAME=VALUE")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        if name in setting_rules.SECRET and parsed is not None:
            raise typer.BadParameter(
                f"{name} is a secret, and others can see arguments: `retrostep wifi set` asks for passwords, "
                "`retrostep pair` makes the key of updates",
                param_hint="NAME=VALUE",
            )
        looks_like_number = isinstance(parsed, (int, float)) and not isinstance(parsed, bool)
        changes[name] = value if looks_like_number and _is_text_only(name) else parsed
    return changes


def _shown(name: str, value: Any) -> str:
    """A setting's value in words; of a secret one the device tells only whether it is set."""
    if name in setting_rules.SECRET:
        return "set" if value else "not set"
    return printable(value) if isinstance(value, str) else json.dumps(value)


def print_settings(found: DeviceSettings, as_json: bool) -> None:
    """All settings, and which of them wait for a restart."""
    if as_json:
        print(json.dumps({"settings": found.values, "restart": found.restart}))
        return
    table = Table(title="Settings", title_justify="left", show_header=False, box=box.SIMPLE_HEAD)
    for name, value in sorted(found.values.items()):
        text = escape(_shown(name, value)) + (" (after a restart)" if name in found.restart else "")
        table.add_row(escape(printable(name)), text)
    console = Console()
    console.print(table)
    if found.restart:
        console.print(
            f"restart the device for {', '.join(found.restart)}: switch it off and on, or `mpremote reset`"
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    settings_app = typer.Typer(help=f"Read and change a device's settings. {PAGE}")
    app.add_typer(settings_app, name="settings", no_args_is_help=True)

    @settings_app.command(help=f"Print all settings; of secret ones only whether they are set. {PAGE}")
    def show(
        port: str | None = PORT, radio: bool = RADIO, address: str | None = ADDRESS, as_json: bool = JSON
    ) -> None:
        print_settings(over_link(port, radio, address, lambda link: link.settings()), as_json)

    @settings_app.command(
        "set", help=f"Change settings; the device checks them and refuses all if one is wrong. {PAGE}"
    )
    def set_command(
        assignments: list[str] = typer.Argument(
            ..., metavar="NAME=VALUE...", help="What to change, all or nothing; null means none."
        ),
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        as_json: bool = JSON,
    ) -> None:
        changes = parse_assignments(assignments)
        print_settings(over_link(port, radio, address, lambda link: link.settings(changes)), as_json)
