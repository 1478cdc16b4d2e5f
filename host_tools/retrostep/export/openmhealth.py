"""Open mHealth step counts and IEEE 1752.1 physical activities: a JSON array of data points, one a line.

Sources: the Open mHealth schemas omh:step-count:3.0 in omh:header:1.2, and ieee:physical-activity:1.0 in the IEEE
header, which Open mHealth names as the successor of its step count. One data point a direction, so that the sum over
data points is the number of steps. Neither schema knows directions: `walking_direction` is an addition of ours, which
both allow, and the IEEE's activity name says it in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from retrostep.export.instants import to_text
from retrostep.export.spans import Span

SOURCE_NAME = "Retrostep"


def step_count(span: Span, direction: str, created_utc_ms: int) -> dict[str, Any]:
    """The data point omh:step-count:3.0 of one direction."""
    header: dict[str, Any] = {
        "id": span.uuid(f"omh/{direction}"),
        "creation_date_time": to_text(created_utc_ms),
        "schema_id": {"namespace": "omh", "name": "step-count", "version": "3.0"},
        "acquisition_provenance": {
            "source_name": f"{SOURCE_NAME} {span.device_id}",
            "source_creation_date_time": to_text(span.end_utc_ms),
            "modality": "sensed",
        },
    }
    if span.wearer is not None:
        header["user_id"] = span.wearer
    return {
        "header": header,
        "body": {
            "step_count": {"value": span.steps[direction], "unit": "steps"},
            "effective_time_frame": _time_frame(span),
            "walking_direction": direction,
        },
    }


def physical_activity(span: Span, direction: str, created_utc_ms: int) -> dict[str, Any]:
    """The data point ieee:physical-activity:1.0 of one direction."""
    body: dict[str, Any] = {
        "activity_name": "walking" if direction == "unknown" else f"walking {direction}",
        "effective_time_frame": _time_frame(span),
        "base_movement_quantity": {"value": span.steps[direction], "unit": "steps"},
        "walking_direction": direction,
    }
    if span.cadence_per_min is not None:
        body["average_cadence"] = {"value": span.cadence_per_min, "unit": "steps/min"}
    header: dict[str, Any] = {
        "uuid": span.uuid(f"ieee/{direction}"),
        "schema_id": {"namespace": "ieee", "name": "physical-activity", "version": "1.0"},
        "source_creation_date_time": to_text(span.end_utc_ms),
        "modality": "sensed",
    }
    if span.wearer is not None:
        header["user_id"] = span.wearer
    return {"header": header, "body": body}


def _time_frame(span: Span) -> dict[str, Any]:
    start, end = to_text(span.start_utc_ms), to_text(span.end_utc_ms)
    return {"time_interval": {"start_date_time": start, "end_date_time": end}}


def write_data_points(
    spans: Iterable[Span],
    data_point: Callable[[Span, str, int], dict[str, Any]],
    created_utc_ms: int,
    file: BinaryIO,
) -> None:
    """A JSON array of step_count() or physical_activity() data points."""
    before = b"[\n"
    for span in spans:
        for direction in span.steps:
            file.write(
                before + json.dumps(data_point(span, direction, created_utc_ms), ensure_ascii=False).encode()
            )
            before = b",\n"
    file.write(b"[]\n" if before == b"[\n" else b"\n]\n")
