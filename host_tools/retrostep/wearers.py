"""Who wore which device when: without it, everything in a database is taken to be one person's.

A wearer has a name and, if it is not this computer's, a time zone. A device is worn by one wearer at a time; a new
assignment takes its span away from whoever had the device in it. While there is only one wearer, devices that were
never assigned are theirs. Steps whose time is known only by bounds are of the wearer who had the device at both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retrostep.store import Store, StoreError

# Spans without begin or end.
EVER_UTC_MS = 0
NEVER_UTC_MS = 1 << 53


class WearerUnknown(StoreError):
    """No wearer has that name, or none was named where there are several."""


@dataclass(frozen=True)
class Wearing:
    """A device was worn by a wearer from since_utc_ms up to, not including, until_utc_ms."""

    device_id: str
    since_utc_ms: int
    until_utc_ms: int


@dataclass(frozen=True)
class Wearer:
    """A person; zone: name of their time zone, None: this computer's."""

    id: int
    name: str
    zone: str | None
    wearings: tuple[Wearing, ...]

    def wore(self, device_id: str, utc_ms: int) -> bool:
        """Did they wear that device at that time?"""
        return any(
            one.device_id == device_id and one.since_utc_ms <= utc_ms < one.until_utc_ms
            for one in self.wearings
        )

    def always(self, device_id: str) -> bool:
        """Did nobody else ever wear that device?"""
        return Wearing(device_id, EVER_UTC_MS, NEVER_UTC_MS) in self.wearings


def wearers(store: Store) -> list[Wearer]:
    """All wearers, by name."""
    people = list(store.rows("SELECT id, name, zone FROM wearers ORDER BY name"))
    worn: dict[int, list[Wearing]] = {row["id"]: [] for row in people}
    for row in store.rows("SELECT * FROM wearings ORDER BY device_id, since_utc_ms"):
        worn[row["wearer"]].append(Wearing(row["device_id"], row["since_utc_ms"], row["until_utc_ms"]))
    if len(people) == 1:
        for device_id in _never_assigned(store):
            worn[people[0]["id"]].append(Wearing(device_id, EVER_UTC_MS, NEVER_UTC_MS))
    return [Wearer(row["id"], row["name"], row["zone"], tuple(worn[row["id"]])) for row in people]


def free_spans(
    since_utc_ms: int, until_utc_ms: int, taken: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The parts of a span that lie in none of the spans `taken`."""
    for begin, end in sorted(taken):
        if since_utc_ms < min(begin, until_utc_ms):
            yield since_utc_ms, min(begin, until_utc_ms)
        since_utc_ms = max(since_utc_ms, end)
    if since_utc_ms < until_utc_ms:
        yield since_utc_ms, until_utc_ms


def worn_by_nobody(store: Store) -> list[str]:
    """The devices whose steps are in nobody's report: never assigned, where it is not clear to whom."""
    return [] if len(wearers(store)) < 2 else _never_assigned(store)


def steps_of_nobody(store: Store) -> dict[str, int]:
    """Dated steps, by device, at a time when nobody wears it though somebody does at another: in nobody's report.

    As the derived tables have them, which must be up to date.
    """
    found = store.rows(
        "SELECT l.device_id, sum(s.steps) AS steps FROM stretches s JOIN logs l ON l.id = s.log"
        " WHERE s.start_utc_ms IS NOT NULL AND l.device_id IN (SELECT device_id FROM wearings)"
        " AND NOT EXISTS (SELECT 1 FROM wearings w WHERE w.device_id = l.device_id"
        "  AND w.since_utc_ms <= s.start_utc_ms AND s.start_utc_ms < w.until_utc_ms)"
        " GROUP BY l.device_id ORDER BY l.device_id"
    )
    return {row["device_id"]: row["steps"] for row in found}


def _never_assigned(store: Store) -> list[str]:
    found = store.rows("SELECT id FROM devices WHERE id NOT IN (SELECT device_id FROM wearings) ORDER BY id")
    return [row["id"] for row in found]


def add_wearer(store: Store, name: str, zone: str | None = None) -> None:
    """Add a wearer. Raises StoreError if the name is taken or the time zone unknown."""
    if not name.strip():
        raise StoreError("a wearer needs a name")
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise StoreError(
                f"time zone {zone!r} is not known; expected a name like Europe/Berlin"
            ) from error
    with store.transaction() as db:
        if db.execute("SELECT 1 FROM wearers WHERE name = ?", (name,)).fetchone():
            raise StoreError(f"there is a wearer {name!r} already")
        db.execute("INSERT INTO wearers (name, zone) VALUES (?, ?)", (name, zone))


def find_wearer(store: Store, name: str | None) -> Wearer | None:
    """The wearer of that name. Without a name: the only one, or None where none was ever added.

    Raises WearerUnknown.
    """
    known = wearers(store)
    names = ", ".join(wearer.name for wearer in known) or "none yet; `retrostep wearer add NAME` adds one"
    if name is None:
        if len(known) > 1:
            raise WearerUnknown(f"{store.path} has several wearers: choose one with --wearer ({names})")
        return known[0] if known else None
    for wearer in known:
        if wearer.name == name:
            return wearer
    raise WearerUnknown(f"no wearer {name!r} in {store.path}; there are: {names}")


def assign(
    store: Store,
    name: str,
    device_id: str,
    since_utc_ms: int = EVER_UTC_MS,
    until_utc_ms: int = NEVER_UTC_MS,
) -> None:
    """From now on the device counts as worn by `name` in that span. Raises StoreError."""
    wearer = find_wearer(store, name)
    assert wearer is not None
    if since_utc_ms >= until_utc_ms:
        raise StoreError("the span ends before it begins: give --until a later time than --since")
    with store.transaction() as db:
        if not db.execute("SELECT 1 FROM devices WHERE id = ?", (device_id,)).fetchone():
            known = ", ".join(row["id"] for row in db.execute("SELECT id FROM devices ORDER BY id"))
            raise StoreError(
                f"no device {device_id!r} in {store.path}; there are: {known or 'none, sync one first'}"
            )
        overlapping = db.execute(
            "SELECT * FROM wearings WHERE device_id = ? AND since_utc_ms < ? AND until_utc_ms > ?",
            (device_id, until_utc_ms, since_utc_ms),
        ).fetchall()
        for old in overlapping:
            db.execute(
                "DELETE FROM wearings WHERE device_id = ? AND since_utc_ms = ?",
                (device_id, old["since_utc_ms"]),
            )
            for begin, end in (
                (old["since_utc_ms"], since_utc_ms),
                (until_utc_ms, old["until_utc_ms"]),
            ):
                if begin < end:
                    db.execute(
                        "INSERT INTO wearings VALUES (?, ?, ?, ?)", (device_id, old["wearer"], begin, end)
                    )
        db.execute(
            "INSERT INTO wearings VALUES (?, ?, ?, ?)", (device_id, wearer.id, since_utc_ms, until_utc_ms)
        )
