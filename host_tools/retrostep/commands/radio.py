"""`retrostep scan | pair | unpair`, and what `retrostep sync --radio` does: talking to a device by Bluetooth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from rich.console import Console

from retrostep import radio
from retrostep.link import Link, LinkError
from retrostep.update import agree_on_key

Result = TypeVar("Result")
BACKEND = radio.Backend()
"""Which Bluetooth the commands use: this computer's."""


def over_radio(
    address: str | None,
    work: Callable[[Link], Awaitable[Result]],
    pair: bool = False,
    backend: radio.Backend | None = None,
    wait_s: float = radio.SCAN_S,
) -> Result:
    """Find the device at `address` (None: any), connect, run `work` on its link, disconnect. Raises LinkError.

    wait_s: how long to look for it.
    """
    through = backend or BACKEND

    async def _run() -> Result:
        device = await radio.find(address, wait_s, through)
        async with radio.RadioTransport(device, through, pair) as transport:
            return await work(Link(transport))

    return asyncio.run(_run())


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command()
    def scan(
        seconds: float = typer.Option(radio.SCAN_S, "--seconds", min=0.5, help="Seconds to listen."),
        as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
    ) -> None:
        """List the devices that can be reached by Bluetooth now."""
        found = asyncio.run(radio.scan(seconds, BACKEND))
        if as_json:
            print(
                json.dumps(
                    [{"address": one.address, "name": one.name, "rssi_dbm": one.rssi_dbm} for one in found]
                )
            )
        elif not found:
            print(f"no Retrostep was heard: {radio.HOLD}")
        for one in found if not as_json else ():
            print(f"{one.address}  {one.name}  {one.rssi_dbm} dBm")

    @app.command()
    def pair(
        address: str | None = typer.Argument(
            None, help="Address of the device (default: the first one heard)."
        ),
    ) -> None:
        """Pair this computer with a device whose button was just held for 3 s (or see `bonds --open`)."""

        async def meet(link: Link) -> tuple[str, bool]:
            device_id = (await link.status())["device_id"]
            return device_id, await agree_on_key(link, device_id)

        device_id, updates = over_radio(address, meet, pair=True)
        Console().print(f"paired with device {device_id}")
        if not updates:
            Console().print(
                "Another computer paired first: that one can update it by Bluetooth, this one by cable."
            )

    @app.command()
    def unpair(
        address: str | None = typer.Argument(
            None, help="Address of the device (default: the first one heard)."
        ),
    ) -> None:
        """Forget a device: its bond with this computer, there and here."""
        print(asyncio.run(_unpair(address)))


async def _unpair(address: str | None) -> str:
    """Remove the bond on both sides; what was done."""
    device = await radio.find(address, backend=BACKEND)
    transport = radio.RadioTransport(device, BACKEND)
    try:
        async with transport:
            link = Link(transport)
            own = (await link.bonds()).own
            if own is not None:
                await link.remove_bond(own)
    except LinkError as error:
        # Whichever side has lost the bond: here it goes in any case.
        await transport.forget()
        return (
            f"removed here; the device was not reached ({error}): `retrostep bonds` by cable shows its bonds"
        )
    await transport.forget()
    return "removed on both sides"
