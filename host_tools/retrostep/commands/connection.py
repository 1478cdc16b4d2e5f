"""How a command reaches a device: the options for cable or Bluetooth, and the link that comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from retrostep import cable
from retrostep.commands.radio import over_radio
from retrostep.link import Link
from retrostep.radio import SCAN_S

Result = TypeVar("Result")
PORT = typer.Option(None, "--port", "-p", help="Serial port of the device (`retrostep ports` lists them).")
RADIO = typer.Option(False, "--radio", "-r", help="By Bluetooth: a device that was paired.")
ADDRESS = typer.Option(None, "--address", help="By Bluetooth, this one (default: the first that is heard).")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


def over_cable(port: str, work: Callable[[Link], Awaitable[Result]]) -> Result:
    """Open the port, run `work` on its link, close it."""

    async def _run() -> Result:
        async with cable.CableTransport(port) as transport:
            return await work(Link(transport))

    return asyncio.run(_run())


def require_one_way(port: str | None, by_radio: bool, address: str | None) -> None:
    """Raises typer.BadParameter unless PORT, RADIO and ADDRESS name one way to a device."""
    if (by_radio or address is not None) == (port is not None):
        raise typer.BadParameter(
            "give either a serial port (--port PORT) or Bluetooth (--radio, or --address ADDRESS)",
            param_hint="--port",
        )


def over_link(
    port: str | None,
    by_radio: bool,
    address: str | None,
    work: Callable[[Link], Awaitable[Result]],
    wait_s: float = SCAN_S,
) -> Result:
    """Run `work` on a device's link, over what PORT, RADIO and ADDRESS were given. Raises LinkError.

    wait_s: how long to look for a device by Bluetooth.
    """
    require_one_way(port, by_radio, address)
    return over_radio(address, work, wait_s=wait_s) if port is None else over_cable(port, work)
