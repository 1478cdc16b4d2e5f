"""`retrostep mqtt`: publish what the database holds to a broker; `mqtt setup` says to which."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from retrostep import broker
from retrostep.commands.connection import JSON
from retrostep.commands.reading import DB, ZONE, zone_named
from retrostep.publishing import Published, publish
from retrostep.store import Store, default_path


def secret(prompt: str) -> str:
    """A password: asked for without showing it, or the first line of what is piped in. Never an argument."""
    if sys.stdin.isatty():
        return typer.prompt(prompt, hide_input=True, default="", show_default=False)
    return sys.stdin.readline().rstrip("\r\n")


def publish_all(store: Store, zone: str | None = None) -> list[Published]:
    """Publish what is new to the broker that was set up. Raises BrokerError."""
    return publish(store, broker.load(broker.default_path()), zone_named(zone))


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    mqtt_app = typer.Typer(help="Publish to an MQTT broker, for Home Assistant and others (docs/mqtt.md).")
    app.add_typer(mqtt_app, name="mqtt", invoke_without_command=True)

    @mqtt_app.callback(invoke_without_command=True)
    def mqtt(
        context: typer.Context, db: Path | None = DB, zone: str | None = ZONE, as_json: bool = JSON
    ) -> None:
        """Publish what the database holds and was not published yet."""
        if context.invoked_subcommand is not None:
            return
        with Store(db or default_path(), create=False) as store:
            found = publish_all(store, zone)
        if as_json:
            print(json.dumps([asdict(one) for one in found]))
            return
        for one in found:
            print(f"device {one.device_id}: {one.records} new records, {one.messages} messages")
        if not found:
            print("the database holds no device yet: nothing to publish")

    @mqtt_app.command()
    def setup(
        host: str = typer.Argument(..., help="The broker's name or address, as its certificate has it."),
        port: int | None = typer.Option(None, "--port", help="Default: 8883, without TLS 1883."),
        tls: bool = typer.Option(
            True, "--tls/--no-tls", help="Without TLS anybody on the way can read along."
        ),
        ca: Path | None = typer.Option(
            None,
            "--ca",
            exists=True,
            dir_okay=False,
            help="PEM file of the authority that signed for the broker.",
        ),
        user: str | None = typer.Option(
            None, "--user", help="Name at the broker; its password is asked for."
        ),
    ) -> None:
        """Say which broker; the password is asked for, or read from standard input."""
        settings = broker.BrokerSettings(
            host=host,
            port=port or (broker.TLS_PORT if tls else broker.PORT),
            tls=tls,
            ca_file=str(ca.resolve()) if ca else None,
            user=user,
            password=secret(f"password of {user} at {host}") if user else None,
        )
        path = broker.default_path()
        broker.save(settings, path)
        print(f"stored in {path}, which only you can read; `retrostep mqtt` publishes")
