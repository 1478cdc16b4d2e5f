"""Spans as Apple Health writes them in its own export.xml: HealthData of one person, a Record a span and direction.

Health counts steps of any direction alike; the direction is kept as a MetadataEntry of ours. Times are in UTC, to the
second, as Health writes them: a span shorter than that has equal ends. Apple offers no import of this file; programs
that read a Health export do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

from retrostep.export.spans import Span

STEP_COUNT = "HKQuantityTypeIdentifierStepCount"
DIRECTION_KEY = "RetrostepWalkingDirection"
# Of the person Health knows nothing: what it writes where nothing is set.
_ME = (
    ' <Me HKCharacteristicTypeIdentifierDateOfBirth="" '
    'HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexNotSet" '
    'HKCharacteristicTypeIdentifierBloodType="HKBloodTypeNotSet" '
    'HKCharacteristicTypeIdentifierFitzpatrickSkinType="HKFitzpatrickSkinTypeNotSet" '
    'HKCharacteristicTypeIdentifierCardioFitnessMedicationsUse="None"/>\n'
)


def _time(utc_ms: int) -> str:
    return quoteattr(f"{datetime.fromtimestamp(utc_ms // 1000, timezone.utc):%Y-%m-%d %H:%M:%S +0000}")


def write_health_data(spans: Iterable[Span], created_utc_ms: int, file: BinaryIO) -> None:
    """The XML document, record by record."""
    created = _time(created_utc_ms)
    file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<HealthData locale="en_US">\n')
    file.write(f" <ExportDate value={created}/>\n{_ME}".encode())
    for span in spans:
        start, end = _time(span.start_utc_ms), _time(span.end_utc_ms)
        source = quoteattr(f"Retrostep {span.device_id}")
        for direction, count in span.steps.items():
            file.write(
                f' <Record type="{STEP_COUNT}" sourceName={source} unit="count" creationDate={end} '
                f'startDate={start} endDate={end} value="{count}">\n'
                f"  <MetadataEntry key={quoteattr(DIRECTION_KEY)} value={quoteattr(direction)}/>\n"
                " </Record>\n".encode()
            )
    file.write(b"</HealthData>\n")
