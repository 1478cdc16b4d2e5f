"""FHIR R4: one Bundle (type collection) of Observations, with the Device and Patient resources that they refer to.

Codes: LOINC 41950-7, steps in 24 hours measured, for all steps of a day of 24 hours; LOINC 55423-8, steps in
unspecified time by pedometer, for an interval, for a day that is not over, that is cut or of which only some
directions were asked for, and for the days of 23 or 25 hours on which the clocks change.
The value is all steps of the span; components hold the steps by direction with codes of our own (LOINC has none). A
Patient carries nothing but the wearer's name in the database as an identifier: use codes there if the file leaves the
house.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from retrostep.export.instants import to_text
from retrostep.export.spans import Span, stable_uuid

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
DIRECTION_SYSTEM = "urn:x-retrostep:walking-direction"
WEARER_SYSTEM = "urn:x-retrostep:wearer"
DEVICE_SYSTEM = "urn:x-retrostep:device"
_DAY_MS = 86_400_000
_DAY_CODE = {"system": LOINC, "code": "41950-7", "display": "Number of steps in 24 hour Measured"}
_SPAN_CODE = {"system": LOINC, "code": "55423-8", "display": "Number of steps in unspecified time Pedometer"}


def _steps(count: int) -> dict[str, Any]:
    return {"value": count, "unit": "steps", "system": UCUM, "code": "{steps}"}


def _reference(kind: str, name: str) -> str:
    return f"urn:uuid:{stable_uuid(f'{kind}/{name}')}"


def device(device_id: str) -> dict[str, Any]:
    """The Device resource of one Retrostep."""
    return {
        "resourceType": "Device",
        "identifier": [{"system": DEVICE_SYSTEM, "value": device_id}],
        "deviceName": [{"name": "Retrostep", "type": "user-friendly-name"}],
    }


def patient(wearer: str) -> dict[str, Any]:
    """The Patient resource of one wearer: an identifier, no more."""
    return {"resourceType": "Patient", "identifier": [{"system": WEARER_SYSTEM, "value": wearer}]}


def observation(span: Span) -> dict[str, Any]:
    """The Observation of one span."""
    whole_day = (
        span.cadence_per_min is None and not span.only and span.end_utc_ms - span.start_utc_ms == _DAY_MS
    )
    text = f"Step count, {' and '.join(span.only)} only" if span.only else "Step count"
    told: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": "activity", "display": "Activity"}]}],
        "code": {"coding": [_DAY_CODE if whole_day else _SPAN_CODE], "text": text},
        "effectivePeriod": {"start": to_text(span.start_utc_ms), "end": to_text(span.end_utc_ms)},
        "issued": to_text(span.end_utc_ms),
        "device": {"reference": _reference("device", span.device_id)},
        "valueQuantity": _steps(sum(span.steps.values())),
        "component": [
            {
                "code": {
                    "coding": [
                        {
                            "system": DIRECTION_SYSTEM,
                            "code": direction,
                            "display": f"Steps, direction {direction}",
                        }
                    ]
                },
                "valueQuantity": _steps(count),
            }
            for direction, count in span.steps.items()
        ],
    }
    if span.wearer is not None:
        told["subject"] = {"reference": _reference("patient", span.wearer)}
    return told


def write_bundle(spans: Iterable[Span], created_utc_ms: int, file: BinaryIO) -> None:
    """The Bundle, entry by entry."""
    head = {"resourceType": "Bundle", "type": "collection", "timestamp": to_text(created_utc_ms)}
    file.write(json.dumps(head)[:-1].encode())
    told: set[str] = set()

    def entry(url: str, resource: dict[str, Any]) -> None:
        # FHIR allows no empty array: "entry" comes with the first of them.
        file.write(b",\n" if told else b', "entry": [\n')
        file.write(json.dumps({"fullUrl": url, "resource": resource}, ensure_ascii=False).encode())

    for span in spans:
        others = [(_reference("device", span.device_id), device(span.device_id))]
        if span.wearer is not None:
            others.append((_reference("patient", span.wearer), patient(span.wearer)))
        for url, resource in others:
            if url not in told:
                entry(url, resource)
                told.add(url)
        entry(f"urn:uuid:{span.uuid('/'.join(('fhir', *span.only)))}", observation(span))
    file.write(b"\n]}\n" if told else b"}\n")
