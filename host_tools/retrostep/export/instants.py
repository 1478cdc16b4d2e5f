"""UTC in ms since 1970 as text and back, to the millisecond: 2026-06-01T10:00:00.123Z."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=64)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


def to_text(utc_ms: int) -> str:
    """RFC 3339 in UTC."""
    days, rest = divmod(utc_ms, _DAY_MS)
    seconds, ms = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(days)}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{ms:03}Z"


def from_text(text: str) -> int:
    """The other way round. Raises ValueError for anything that to_text() did not write."""
    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    utc_ms = (parsed - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
    if to_text(utc_ms) != text:
        raise ValueError(f"{text!r} is no time like 2026-06-01T10:00:00.123Z")
    return utc_ms
