"""`retrostep bonds`: which computers a device trusts."""

from __future__ import annotations

import json

import typer

from retrostep.commands.connection import ADDRESS, JSON, PORT, RADIO, over_link
from retrostep.link import Link, TrustedHosts, protocol


def describe(bonds: TrustedHosts) -> str:
    """One line on the bonds, oldest first."""
    if not bonds.count:
        return "the device trusts no computer: hold its button for 3 s, then `retrostep pair`"
    own = "" if bonds.own is None else f"; number {bonds.own} is this computer"
    return f"the device trusts {bonds.count} computers, numbered 0 (oldest) to {bonds.count - 1}{own}"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("bonds")
    def bonds_command(
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
        remove: int | None = typer.Option(
            None, "--remove", min=0, max=254, help="Remove the bond of that number."
        ),
        remove_all: bool = typer.Option(False, "--remove-all", help="Remove all bonds."),
        open_window: bool = typer.Option(
            False, "--open", help="Let another computer pair in the next minute."
        ),
        as_json: bool = JSON,
    ) -> None:
        """List the computers that a device trusts; remove bonds; let another computer pair."""

        async def work(link: Link) -> TrustedHosts:
            bonds = await link.bonds()
            index = protocol.BONDS_ALL if remove_all else remove
            if index is not None:
                bonds = await link.remove_bond(index)
            if open_window:
                await link.open_pairing()
            return bonds

        bonds = over_link(port, radio, address, work)
        if as_json:
            print(json.dumps({"bonds": bonds.count, "own": bonds.own}))
        else:
            print(describe(bonds))
