"""`retrostep record`: raw samples from a device into a labelled recording."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer
from rich.console import Console

from retrostep import cable
from retrostep.link import Link, LinkError
from retrostep.outfile import check_target
from retrostep.recorder import Capture, RecordingBroken, record
from retrostep.recording import FRAMES, save


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("record")
    def record_command(
        out: Path = typer.Argument(..., help="The .npz file to write: a new one."),
        port: str = typer.Option(..., "--port", "-p", help="Serial port of the device."),
        seconds: float = typer.Option(60.0, "--seconds", min=1.0, help="Seconds to record."),
        labels: str = typer.Option(
            "forward",
            "--labels",
            help="What is done, in order, separated by commas; a press goes on to the next, two to the one after.",
        ),
        subject: str = typer.Option(..., "--subject", help="A code for the person, never a name."),
        source: str = typer.Option(
            "own", "--source", help="One word for the study: the same --subject in two of them is two people."
        ),
        group: str = typer.Option("healthy", "--group", help="healthy, elderly, stroke ..."),
        frame: str = typer.Option(
            "sensor", "--frame", help="clip: x forward, y left, z up; sensor: anyhow (docs/recording.md)."
        ),
        licence: str = typer.Option(
            "all rights reserved", "--licence", help="What was agreed with the person."
        ),
        may_train: bool = typer.Option(
            False, "--may-train", help="The person agreed that models learn from it."
        ),
        note: str = typer.Option("", "--note", help="Where it sat, aids used, what went wrong."),
    ) -> None:
        """Record what the device's sensor feels; its button labels the parts. It counts on meanwhile."""
        names = [name.strip() for name in labels.split(",") if name.strip()]
        if not names:
            raise typer.BadParameter("--labels is empty: expected words like forward,backward")
        if frame not in FRAMES:
            raise typer.BadParameter(f"--frame {frame!r}: expected one of {', '.join(FRAMES)}")
        check_target(out, new=True)
        console = Console(stderr=True)
        capture = Capture(names)

        async def run() -> None:
            async with cable.CableTransport(port) as transport:
                with console.status("waiting for samples") as shown:
                    await record(
                        lambda on_raw: Link(transport, on_raw=on_raw),
                        capture,
                        seconds,
                        lambda capture: shown.update(
                            f"{capture.duration_s:.0f} of {seconds:.0f} s: {capture.label}"
                        ),
                    )

        ended: str | None = None
        try:
            asyncio.run(run())
        except (LinkError, KeyboardInterrupt) as error:
            if not capture.blocks:
                raise
            ended = str(error) or "it was stopped by hand"
        if capture.broken_at is not None:
            ended = "the sensor lost samples"
        status = capture.status
        activity = names[0] if len(names) == 1 else "mixed"
        done = capture.recording(
            {
                "placement": status["placement"],
                "frame": frame,
                "source": source,
                "subject": subject,
                "group": group,
                "activity": activity,
                "licence": licence,
                "may_train": may_train,
                "note": note,
                "device": status["device_id"],
                "firmware": status["firmware"],
            }
        )
        save(done, out)
        print(f"{out}: {done.duration_s:.1f} s, {len(done.span_label)} parts: {', '.join(done.span_label)}")
        if ended is not None:
            raise RecordingBroken(
                f"the recording ended after {capture.duration_s:.1f} of {seconds:.0f} s: {ended}. What came before "
                f"is saved in {out}"
            )
