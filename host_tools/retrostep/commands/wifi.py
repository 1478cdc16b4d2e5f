"""`retrostep wifi set | off`: let a device publish over Wi-Fi; its passwords are asked for, never arguments."""

from __future__ import annotations

import typer

from retrostep import broker
from retrostep.commands.connection import ADDRESS, PORT, RADIO, over_link
from retrostep.commands.mqtt import secret


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    wifi_app = typer.Typer(help="Let a device publish over MQTT by itself (docs/mqtt.md). Off unless set.")
    app.add_typer(wifi_app, name="wifi", no_args_is_help=True)

    @wifi_app.command("set")
    def set_command(
        ssid: str = typer.Argument(..., help="Name of the network (2.4 GHz)."),
        host: str = typer.Argument(..., help="The broker's address, or the name in its certificate."),
        broker_port: int | None = typer.Option(
            None, "--broker-port", help="Default: 8883, without TLS 1883."
        ),
        tls: bool = typer.Option(True, "--tls/--no-tls", help="With TLS the device needs /mqtt_ca.der."),
        user: str | None = typer.Option(None, "--user", help="Name at the broker."),
        every_h: int = typer.Option(
            24, "--every-h", min=1, max=168, help="Hours from one visit to the next."
        ),
        window_s: int = typer.Option(60, "--window-s", min=10, max=120, help="Longest time of one visit."),
        port: str | None = PORT,
        radio: bool = RADIO,
        address: str | None = ADDRESS,
    ) -> None:
        """Tell the device network and broker. Asks for the passwords, or reads them, one a line, from a pipe."""
        wifi = {
            "ssid": ssid,
            "password": secret(f"password of the network {ssid} (none: just Enter)") or None,
            "host": host,
            "port": broker_port or (broker.TLS_PORT if tls else broker.PORT),
            "tls": tls,
            "user": user,
            "secret": (secret(f"password of {user} at {host}") or None) if user else None,
            "every_h": every_h,
            "window_s": window_s,
        }
        over_link(port, radio, address, lambda link: link.settings({"wifi": wifi}))
        print(f"set: every {every_h} h, and when put on a charger that the board can see")
        if tls:
            print("the device believes the broker by /mqtt_ca.der: `mpremote cp ca.der :/mqtt_ca.der`")

    @wifi_app.command()
    def off(port: str | None = PORT, radio: bool = RADIO, address: str | None = ADDRESS) -> None:
        """Let the device forget network, broker and passwords."""
        over_link(port, radio, address, lambda link: link.settings({"wifi": None}))
        print("the device forgot network and broker")
