"""Exports: what each format holds, who reads it, and that a CSV comes back as it went."""

import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware import steplog
from retrostep.cli import app
from retrostep.device_tree import device_root
from retrostep.diary import fill
from retrostep.errors import BAD_INPUT
from retrostep.export import csvlog
from retrostep.export.csvlog import import_csv
from retrostep.export.errors import ExportError, ExportUnsuitable, ImportRefused
from retrostep.export.formats import FORMATS, Export
from retrostep.export.instants import from_text, to_text
from retrostep.export.levels import COLUMNS
from retrostep.export.selection import SECOND_IMPORT, Selection, Source
from retrostep.export.spans import stable_uuid
from retrostep.outfile import OutputFailed, OutputRefused, check_target, opened
from retrostep.store import Store
from retrostep.sync import LogWentBack
from retrostep.wearers import add_wearer, assign

UTC_0_MS = round(datetime(2026, 6, 1, 8, tzinfo=timezone.utc).timestamp() * 1000)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CREATED_MS = UTC_0_MS + 400 * DAY_MS


class Log:
    """Writes (sequence, kind, payload) records as a device does."""

    def __init__(self, first_sequence=1):
        self.records = []
        self.tag = 0
        self._next = first_sequence

    def add(self, kind, payload):
        self.records.append((self._next, kind, payload))
        self._next += 1
        return self

    def boot(self):
        self.tag = self._next & 0xFFFF
        return self.add(steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "physics-waist-1", "x"))

    def anchor(self, uptime_ms, utc_ms):
        return self.add(
            steplog.ANCHOR, steplog.encode_anchor(self.tag, uptime_ms, utc_ms, 5, steplog.SOURCE_HOST)
        )

    def battery(self, uptime_ms):
        return self.add(steplog.BATTERY, steplog.encode_battery(self.tag, uptime_ms, 3_900))

    def walk(self, begin_ms, steps, direction, interval_ms=500, confidence=90, stability=None):
        chunk = steplog.StepChunk(self.tag, 1)
        for at in range(steps):
            if chunk.full:
                self.add(steplog.STEPS, chunk.payload())
                chunk.clear()
            chunk.add_step(begin_ms + at * interval_ms, direction, confidence, stability)
        return self.add(steplog.STEPS, chunk.payload())


def store_log(path, log, device_id="abc", log_id=77):
    status = {"device_id": device_id, "board": "x", "firmware": "0.1.0", "log_id": log_id}
    with Store(path) as store:
        row, _ = store.open_log(status)
        store.add_batch(row, log.records, log.records[-1][0] + 1)


def two_walks():
    """11 steps back, 5 of them at once forward; a minute later 3 sideways. The crystal loses 100 ppm."""
    log = Log().boot().anchor(0, UTC_0_MS)
    log.walk(10_000, 11, 1, stability=83).walk(15_500, 5, 0, confidence=60).walk(80_000, 3, 2)
    return log.anchor(100_000, UTC_0_MS + 100_010)


def undated():
    """Boots without a time before any anchor, between two, and the last."""
    log = Log().boot().walk(1_000, 4, 0).battery(9_000).boot().walk(2_000, 3, 1).boot().anchor(500, UTC_0_MS)
    log.walk(5_000, 4, 1).battery(60_000).boot().walk(3_000, 2, 3).battery(7_770).boot().walk(4_000, 5, 0)
    log.boot().anchor(0, UTC_0_MS + 5 * DAY_MS).walk(1_000, 2, 0).battery(3_000)
    return log.boot().walk(6_000, 3, 0).battery(50_000).boot().walk(7_000, 3, 0)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "steps.sqlite3"
    store_log(path, two_walks())
    return path


def exported(paths, file_format="csv", level="intervals", zone=timezone.utc, **selection):
    """(bytes, steps left out) of an export."""
    file = io.BytesIO()
    with Source([paths] if isinstance(paths, Path) else paths) as source:
        Export(file_format, level, Selection(**selection), zone).write(source, CREATED_MS, file)
        return file.getvalue(), dict(source.left_out)


def rows_of(data):
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_an_interval_is_a_run_in_one_direction_with_both_ends_in_utc(db):
    back, ahead, aside = rows_of(exported(db)[0])
    assert (back["direction"], back["steps"]) == ("backward", "11")
    assert (back["start"], back["end"]) == ("2026-06-01T08:00:10.001Z", "2026-06-01T08:00:15.001Z")
    assert (back["stability"], back["cadence_per_min"]) == ("83.3", "120.0")
    # The first forward step began with the last contact of the backward ones.
    assert (ahead["start_uptime_ms"], ahead["end_uptime_ms"], ahead["steps"]) == ("15000", "17500", "5")
    assert (aside["start"], aside["minutes"]) == ("2026-06-01T08:01:20.008Z", "0.0167")


def test_the_minutes_of_the_intervals_are_those_of_the_days(db):
    (day,) = rows_of(exported(db, level="days")[0])
    intervals = rows_of(exported(db)[0])
    for direction in ("forward", "backward", "sideways"):
        minutes = sum(float(row["minutes"]) for row in intervals if row["direction"] == direction)
        assert float(day[f"{direction}_minutes"]) == pytest.approx(minutes, abs=2e-4)
    assert (day["backward_steps"], day["forward_steps"], day["day"]) == ("11", "5", "2026-06-01")


def test_days_are_intervals_of_the_wearers_zone_in_utc(tmp_path):
    path = tmp_path / "db.sqlite3"
    store_log(path, Log().boot().anchor(0, UTC_0_MS).walk(0, 4, 0))
    with Store(path) as store:
        add_wearer(store, "anna", "Asia/Tokyo")
    (day,) = rows_of(exported(path, level="days", zone=None)[0])
    assert (day["wearer"], day["day"]) == ("anna", "2026-06-01")
    assert (day["start"], day["end"]) == ("2026-05-31T15:00:00.000Z", "2026-06-01T15:00:00.000Z")


@pytest.mark.parametrize(
    ("selection", "steps"),
    [
        ({"directions": ("backward",)}, 11),
        ({"directions": ("forward", "sideways")}, 8),
        ({"begin_utc_ms": UTC_0_MS + 15_002}, 8),
        ({"end_utc_ms": UTC_0_MS + 15_002}, 11),
        ({"begin_utc_ms": UTC_0_MS + 15_002, "end_utc_ms": UTC_0_MS + 20_000}, 5),
        ({"device_id": "nobody's"}, 0),
    ],
)
def test_only_what_was_selected_is_exported(db, selection, steps):
    assert len(rows_of(exported(db, level="steps", **selection)[0])) == steps
    assert sum(int(row["steps"]) for row in rows_of(exported(db, **selection)[0])) == steps


def test_steps_are_of_the_wearer_who_had_the_device_then(db):
    with Store(db) as store:
        for name in ("anna", "ben"):
            add_wearer(store, name)
        assign(store, "anna", "abc", until_utc_ms=UTC_0_MS + 60_000)
        assign(store, "ben", "abc", since_utc_ms=UTC_0_MS + 60_000)
    assert [row["wearer"] for row in rows_of(exported(db)[0])] == ["anna", "anna", "ben"]
    assert [row["direction"] for row in rows_of(exported(db, wearer="ben")[0])] == ["sideways"]


def test_a_step_without_a_time_is_marked_and_keeps_its_bounds(tmp_path):
    path = tmp_path / "db.sqlite3"
    store_log(path, undated())
    rows = rows_of(exported(path, level="steps")[0])
    assert {row["time_quality"] for row in rows if row["time"]} == {"exact"}
    bounded = [row for row in rows if row["time_quality"] == "bounded"]
    assert len(bounded) == 20
    assert not any(row["time"] for row in bounded)
    assert bounded[7]["earliest"] == to_text(UTC_0_MS - 500 + 60_000 + 3_000)
    # A time span takes in only what is surely in it.
    inside = {"begin_utc_ms": UTC_0_MS, "end_utc_ms": UTC_0_MS + 6 * DAY_MS}
    assert len(rows_of(exported(path, level="steps", **inside)[0])) == 13


@pytest.mark.parametrize("file_format", ["openmhealth", "ieee1752", "fhir", "apple"])
def test_health_formats_leave_out_steps_without_a_time_and_count_them(tmp_path, file_format):
    path = tmp_path / "db.sqlite3"
    store_log(path, undated())
    assert exported(path, file_format)[1] == {"whose time is not known": 20}


def test_json_lines_hold_what_the_csv_holds(db):
    for level, columns in COLUMNS.items():
        lines = [json.loads(line) for line in exported(db, "jsonl", level)[0].splitlines()]
        cells = rows_of(exported(db, "csv", level)[0])
        assert [list(line) for line in lines] == [[name for name, _ in columns]] * len(cells)
        assert [["" if value is None else str(value) for value in line.values()] for line in lines] == [
            list(row.values()) for row in cells
        ]


OMH_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
OMH_TIME_FRAME = {
    "type": "object",
    "required": ["time_interval"],
    "maxProperties": 1,
    "properties": {
        "time_interval": {
            "type": "object",
            "required": ["start_date_time", "end_date_time"],
            "properties": {"start_date_time": OMH_TIME, "end_date_time": OMH_TIME},
            "additionalProperties": False,
        }
    },
}
SCHEMA_ID = {
    "type": "object",
    "required": ["namespace", "name", "version"],
    "properties": {
        "namespace": {"type": "string", "pattern": "^[a-zA-Z0-9.:-]+$"},
        "name": {"type": "string", "pattern": "^[a-zA-Z0-9-]+$"},
        "version": {"type": "string", "pattern": r"^\d+(\.\d+)*(\.x|\.[a-zA-Z0-9]+)?$"},
    },
}
MODALITY = {"enum": ["sensed", "self-reported"]}
# The rules of omh:header:1.2 with omh:step-count:3.0, and of the IEEE's header with ieee:physical-activity:1.0.
PUBLISHED_RULES = {
    "openmhealth": {
        "type": "object",
        "required": ["header", "body"],
        "properties": {
            "header": {
                "type": "object",
                "required": ["id", "creation_date_time", "schema_id"],
                "properties": {
                    "id": {"type": "string"},
                    "creation_date_time": OMH_TIME,
                    "schema_id": SCHEMA_ID,
                    "acquisition_provenance": {
                        "type": "object",
                        "required": ["source_name"],
                        "properties": {
                            "source_name": {"type": "string"},
                            "source_creation_date_time": OMH_TIME,
                            "modality": MODALITY,
                        },
                    },
                    "user_id": {"type": "string"},
                },
            },
            "body": {
                "type": "object",
                "required": ["step_count", "effective_time_frame"],
                "properties": {
                    "step_count": {
                        "type": "object",
                        "required": ["value", "unit"],
                        "properties": {"value": {"type": "number"}, "unit": {"enum": ["steps"]}},
                    },
                    "effective_time_frame": OMH_TIME_FRAME,
                },
            },
        },
    },
    "ieee1752": {
        "type": "object",
        "required": ["header", "body"],
        "properties": {
            "header": {
                "type": "object",
                "required": ["uuid", "schema_id", "source_creation_date_time", "modality"],
                "properties": {
                    "uuid": {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
                    "schema_id": SCHEMA_ID,
                    "source_creation_date_time": OMH_TIME,
                    "modality": MODALITY,
                },
            },
            "body": {
                "type": "object",
                "required": ["activity_name", "effective_time_frame"],
                "properties": {
                    "activity_name": {"type": "string"},
                    "effective_time_frame": OMH_TIME_FRAME,
                    "base_movement_quantity": {
                        "type": "object",
                        "required": ["value", "unit"],
                        "properties": {
                            "value": {"type": "number"},
                            "unit": {"enum": ["steps", "laps", "skips", "movements", "strokes"]},
                        },
                    },
                    "average_cadence": {
                        "type": "object",
                        "required": ["value", "unit"],
                        "properties": {"value": {"type": "number"}, "unit": {"enum": ["steps/min"]}},
                    },
                },
            },
        },
    },
}


@pytest.mark.parametrize("file_format", ["openmhealth", "ieee1752"])
@pytest.mark.parametrize("level", ["intervals", "days"])
def test_data_points_follow_the_published_schemas_and_add_up(db, file_format, level):
    import jsonschema

    points = json.loads(exported(db, file_format, level)[0])
    jsonschema.Draft7Validator.check_schema(PUBLISHED_RULES[file_format])
    for point in points:
        jsonschema.Draft7Validator(PUBLISHED_RULES[file_format]).validate(point)
    quantity = "step_count" if file_format == "openmhealth" else "base_movement_quantity"
    assert sum(point["body"][quantity]["value"] for point in points) == 19
    assert {point["body"]["walking_direction"] for point in points} == {"forward", "backward", "sideways"}


def fhir_bundle(data):
    """The bundle, read by a third party's model of R4B, which rejects unknown elements and wrong types."""
    from fhir.resources.R4B.bundle import Bundle

    return Bundle.model_validate_json(data)


@pytest.mark.parametrize("level", ["intervals", "days"])
def test_a_fhir_bundle_is_valid_for_a_third_party_and_refers_to_what_it_holds(db, level):
    with Store(db) as store:
        add_wearer(store, "anna & co")
    data, _ = exported(db, "fhir", level)
    bundle = fhir_bundle(data)
    resources = {entry.fullUrl: entry.resource for entry in bundle.entry}
    assert len(resources) == len(bundle.entry)
    observations = [one for one in resources.values() if one.get_resource_type() == "Observation"]
    assert sum(one.valueQuantity.value for one in observations) == 19
    for one in observations:
        assert sum(part.valueQuantity.value for part in one.component) == one.valueQuantity.value
        assert one.effectivePeriod.start <= one.effectivePeriod.end
        assert resources[one.device.reference].get_resource_type() == "Device"
        assert resources[one.subject.reference].identifier[0].value == "anna & co"
    assert {one.code.coding[0].code for one in observations} == {"41950-7" if level == "days" else "55423-8"}


def test_a_day_on_which_the_clocks_change_is_no_24_hours_in_fhir(tmp_path):
    from zoneinfo import ZoneInfo

    path = tmp_path / "db.sqlite3"
    noon = round(datetime(2026, 10, 25, 12, tzinfo=timezone.utc).timestamp() * 1000)
    store_log(path, Log().boot().anchor(0, noon).walk(0, 4, 0))
    bundle = fhir_bundle(exported(path, "fhir", "days", zone=ZoneInfo("Europe/Berlin"))[0])
    (observation,) = [e.resource for e in bundle.entry if e.resource.get_resource_type() == "Observation"]
    assert observation.effectivePeriod.end - observation.effectivePeriod.start == timedelta(hours=25)
    assert observation.code.coding[0].code == "55423-8"


@pytest.mark.parametrize("file_format", ["fhir", "openmhealth", "ieee1752", "apple"])
def test_a_day_that_is_not_over_ends_now_and_is_another_span_than_the_whole_day(db, file_format):
    now, later = io.BytesIO(), io.BytesIO()
    for file, at in ((now, UTC_0_MS + 3_600_000), (later, UTC_0_MS + 3 * DAY_MS)):
        with Source([db]) as source:
            Export(file_format, "days", Selection(), timezone.utc).write(source, at, file)
    told, whole = now.getvalue().decode(), later.getvalue().decode()
    assert "2026-06-02" not in told
    assert "2026-06-02" in whole
    assert "41950-7" not in told
    if file_format != "apple":
        ids = re.compile("[0-9a-f]{8}-[0-9a-f-]{27}")
        both = set(ids.findall(told)) & set(ids.findall(whole))
        assert both <= {stable_uuid("device/abc")}


def ids_of(path, file_format, level="days", **selection):
    """{id: steps} of the spans in an export; the Device and Patient of a bundle are left out."""
    told = json.loads(exported(path, file_format, level, **selection)[0])
    if file_format == "fhir":
        entries = [one for one in told["entry"] if one["resource"]["resourceType"] == "Observation"]
        return {one["fullUrl"]: one["resource"]["valueQuantity"]["value"] for one in entries}
    if file_format == "ieee1752":
        return {one["header"]["uuid"]: one["body"]["base_movement_quantity"]["value"] for one in told}
    return {one["header"]["id"]: one["body"]["step_count"]["value"] for one in told}


@pytest.mark.parametrize("file_format", ["fhir", "openmhealth", "ieee1752"])
def test_one_id_never_stands_for_different_steps(db, file_format):
    whole = ids_of(db, file_format)
    of_day = {"begin_utc_ms": UTC_0_MS - 8 * HOUR_MS, "end_utc_ms": UTC_0_MS + 16 * HOUR_MS}
    assert ids_of(db, file_format, **of_day) == whole
    for selection in (
        {"directions": ("backward",)},
        {"directions": ("backward", "sideways")},
        {"begin_utc_ms": UTC_0_MS + 12_000},
        {"end_utc_ms": UTC_0_MS + 12_000},
        {"begin_utc_ms": UTC_0_MS},
    ):
        for one, steps in ids_of(db, file_format, **selection).items():
            assert whole.get(one, steps) == steps, selection
    # All steps in other hours are another span, too.
    assert not ids_of(db, file_format, begin_utc_ms=UTC_0_MS).keys() & whole.keys()


def test_a_cut_day_and_a_day_of_one_direction_are_no_24_hours_in_fhir(db):
    begin = UTC_0_MS + 12_000
    for selection, start, text in (
        ({"directions": ("backward",)}, UTC_0_MS - 8 * HOUR_MS, "Step count, backward only"),
        ({"begin_utc_ms": begin}, begin, "Step count"),
    ):
        data, _ = exported(db, "fhir", "days", **selection)
        fhir_bundle(data)
        (told,) = [
            one["resource"]
            for one in json.loads(data)["entry"]
            if one["resource"]["resourceType"] == "Observation"
        ]
        assert told["code"]["coding"][0]["code"] == "55423-8"
        assert told["code"]["text"] == text
        assert told["effectivePeriod"] == {
            "start": to_text(start),
            "end": to_text(UTC_0_MS + 16 * HOUR_MS),
        }


@pytest.mark.parametrize("file_format", ["fhir", "openmhealth", "ieee1752"])
def test_a_walk_that_a_sync_cut_off_is_another_span_than_the_whole(tmp_path, file_format):
    path = tmp_path / "db.sqlite3"
    log = Log().boot().anchor(0, UTC_0_MS).walk(1_000, 10, 1)
    store_log(path, log)
    cut = ids_of(path, file_format, "intervals")
    store_log(path, log.walk(6_000, 30, 1))
    whole = ids_of(path, file_format, "intervals")
    assert (list(cut.values()), list(whole.values())) == ([10], [40])
    assert not cut.keys() & whole.keys()


def test_apple_health_is_of_one_wearer(db):
    with Store(db) as store:
        add_wearer(store, "anna")
        add_wearer(store, "ben")
        assign(store, "anna", "abc", until_utc_ms=UTC_0_MS + 60_000)
        assign(store, "ben", "abc", since_utc_ms=UTC_0_MS + 60_000)
    with pytest.raises(ExportUnsuitable, match=r"choose one with --wearer \(anna, ben\)"):
        exported(db, "apple")
    root = ElementTree.fromstring(exported(db, "apple", wearer="ben")[0])
    assert [one.get("value") for one in root.iter("Record")] == ["3"]
    assert [one.tag for one in root][:2] == ["ExportDate", "Me"]


def test_an_empty_export_is_valid_in_every_format(tmp_path, db):
    nobody = {"device_id": "nobody's"}
    assert json.loads(exported(db, "openmhealth", **nobody)[0]) == []
    assert fhir_bundle(exported(db, "fhir", **nobody)[0]).entry is None
    assert not list(ElementTree.fromstring(exported(db, "apple", **nobody)[0]).iter("Record"))
    assert rows_of(exported(db, **nobody)[0]) == []
    assert exported(db, "parquet", **nobody)[0].startswith(b"PAR1")


def test_apple_records_are_intervals_with_the_direction_beside(db):
    root = ElementTree.fromstring(exported(db, "apple")[0])
    back, *_ = root.iter("Record")
    assert root.tag == "HealthData"
    assert (back.get("type"), back.get("unit"), back.get("value")) == (
        "HKQuantityTypeIdentifierStepCount",
        "count",
        "11",
    )
    assert (back.get("startDate"), back.get("endDate")) == (
        "2026-06-01 08:00:10 +0000",
        "2026-06-01 08:00:15 +0000",
    )
    assert back.find("MetadataEntry").get("value") == "backward"


def test_exporting_twice_gives_the_same_ids(db):
    ids = [[p["header"]["id"] for p in json.loads(exported(db, "openmhealth")[0])] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_parquet_has_typed_columns_that_duckdb_reads(db, tmp_path):
    import duckdb

    file = tmp_path / "steps.parquet"
    file.write_bytes(exported(db, "parquet", "steps")[0])
    (row,) = duckdb.sql(
        f"SELECT count(*), min(time), typeof(min(time)) FROM '{file}' WHERE direction = 'backward'"
    ).fetchall()
    assert (row[0], row[2]) == (11, "TIMESTAMP WITH TIME ZONE")
    assert row[1].timestamp() * 1000 == pytest.approx(UTC_0_MS + 10_001)


def test_a_cohort_is_partitioned_by_wearer_and_month_and_read_as_one_table(tmp_path):
    import duckdb

    paths = []
    for number, name in enumerate(("anna", "ben/x")):
        paths.append(tmp_path / f"{number}.sqlite3")
        log = Log().boot().anchor(0, UTC_0_MS).walk(0, 10, 1).walk(40 * DAY_MS, 5 + number, 0)
        store_log(paths[-1], log, device_id=f"device-{number}")
        with Store(paths[-1]) as store:
            add_wearer(store, name)
    target = tmp_path / "cohort"
    result = CliRunner().invoke(app, ["export", "--cohort", str(target), *(f"--db={path}" for path in paths)])
    assert result.exit_code == 0, result.output
    assert (target / "wearer=anna" / "month=2026-06" / "device-0-77-0.parquet").exists()
    found = duckdb.sql(
        f"SELECT wearer, month, sum(steps) FROM read_parquet('{target}/*/*/*.parquet', hive_partitioning = true)"
        " GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert found == [
        ("anna", "2026-06", 10),
        ("anna", "2026-07", 5),
        ("ben/x", "2026-06", 10),
        ("ben/x", "2026-07", 6),
    ]
    again = CliRunner().invoke(app, ["export", "--cohort", str(target), f"--db={paths[0]}"])
    assert isinstance(again.exception, ExportError)


def test_a_log_that_two_databases_hold_is_exported_once(tmp_path):
    older, newer = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    log = Log().boot().anchor(0, UTC_0_MS).walk(0, 10, 1)
    store_log(older, log)
    store_log(newer, log.walk(60_000, 5, 1))
    assert sum(int(row["steps"]) for row in rows_of(exported([older, newer])[0])) == 15


def test_what_two_databases_hold_of_a_log_is_put_together(tmp_path):
    first, second = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    log = Log().boot().anchor(0, UTC_0_MS).walk(0, 10, 1).walk(60_000, 5, 0)
    whole, log.records = log.records, log.records[:3]
    store_log(first, log)
    log.records = whole[2:]
    log.walk(120_000, 7, 2).anchor(200_000, UTC_0_MS + 200_000)
    store_log(second, log)
    with Store(first) as store:
        add_wearer(store, "anna")
        assign(store, "anna", "abc", until_utc_ms=UTC_0_MS + 100_000)
    with Store(second) as store:
        add_wearer(store, "ben")
        assign(store, "ben", "abc", since_utc_ms=UTC_0_MS + 50_000)
    found = rows_of(exported([first, second])[0])
    assert [(row["wearer"], row["steps"], row["direction"], row["boot"]) for row in found] == [
        ("anna", "10", "backward", "1"),
        ("ben", "5", "forward", "1"),
        ("ben", "7", "sideways", "1"),
    ]
    assert {row["time_quality"] for row in found} == {"exact"}


def test_a_record_that_differs_between_two_databases_is_refused(tmp_path):
    first, second = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    store_log(first, Log().boot().anchor(0, UTC_0_MS).walk(0, 10, 1))
    store_log(second, Log().boot().anchor(0, UTC_0_MS).walk(0, 10, 0))
    with pytest.raises(ExportError, match="record 3 of device abc differs between"):
        exported([first, second])


def test_a_log_that_was_imported_twice_counts_once_and_the_rest_is_told(db, tmp_path):
    file, copy = tmp_path / "steps.csv", tmp_path / "copy.sqlite3"
    file.write_bytes(exported(db, level="steps")[0])
    import_csv(file, copy)
    data, left_out = exported([copy, db], level="steps")
    assert data == file.read_bytes()
    assert left_out == {SECOND_IMPORT: 19}


@pytest.mark.parametrize("log", [two_walks(), undated()], ids=["dated", "undated"])
def test_csv_to_import_to_csv_is_identical(tmp_path, log):
    first, second = tmp_path / "first.sqlite3", tmp_path / "second.sqlite3"
    store_log(first, log)
    file = tmp_path / "steps.csv"
    file.write_bytes(exported(first, level="steps")[0])
    assert import_csv(file, second).steps == len(file.read_text().splitlines()) - 1
    assert exported(second, level="steps")[0] == file.read_bytes()
    assert exported(second)[0] == exported(first)[0]
    assert exported(second, level="days")[0] == exported(first, level="days")[0]


def random_log(seed):
    """Boots with and without anchors, clocks that drift and that are set, walks of any direction."""
    draw = random.Random(seed)
    log = Log(first_sequence=draw.randrange(1, 500))
    utc_ms = UTC_0_MS
    for _ in range(draw.randrange(2, 9)):
        log.boot()
        uptime_ms = draw.randrange(0, 60_000) // 10 * 10
        for _ in range(draw.randrange(1, 5)):
            log.walk(uptime_ms, draw.randrange(1, 700), draw.randrange(4), draw.randrange(30, 80) * 10)
            uptime_ms += draw.randrange(600_000, 900_000) // 10 * 10
            if draw.random() < 0.5:
                log.anchor(uptime_ms + draw.randrange(1000), utc_ms + uptime_ms + draw.randrange(-900, 900))
                utc_ms += draw.choice((0, 0, HOUR_MS))
            if draw.random() < 0.3:
                log.battery(uptime_ms)
        utc_ms += uptime_ms + 2 * HOUR_MS
    return log


@pytest.mark.parametrize("seed", range(12))
def test_any_log_survives_csv_and_import(tmp_path, seed):
    first, second = tmp_path / "first.sqlite3", tmp_path / "second.sqlite3"
    store_log(first, random_log(seed))
    store_log(first, random_log(seed + 100), device_id="other", log_id=5)
    with Store(first) as store:
        add_wearer(store, "anna")
        add_wearer(store, "ben")
        assign(store, "anna", "abc", until_utc_ms=UTC_0_MS + 3 * HOUR_MS)
        assign(store, "ben", "abc", since_utc_ms=UTC_0_MS + 3 * HOUR_MS)
        assign(store, "ben", "other")
    file = tmp_path / "steps.csv"
    file.write_bytes(exported(first, level="steps", directions=("backward", "forward"))[0])
    import_csv(file, second)

    # Whose an undated step is, is told by times that may be of steps that were not exported.
    def dated_only(rows):
        return [dict(row, wearer=row["time"] and row["wearer"]) for row in rows]

    assert dated_only(rows_of(exported(second, level="steps")[0])) == dated_only(rows_of(file.read_bytes()))


GOOD = "anna,abc,77,1,1000,2026-06-01T08:00:01.000Z,exact,,,backward,0.8571,"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (GOOD.replace("backward", "up"), "line 2, direction: 'up', expected forward, backward"),
        (GOOD.replace("1000", "-5"), "line 2, uptime_ms: '-5', expected a whole number"),
        (GOOD.replace("01.000Z", "1Z"), "line 2, time"),
        (GOOD.replace("exact", "unknown"), "line 2: time_quality is unknown"),
        (GOOD.replace("0.8571", "0.5"), "line 2: the step would come back as"),
        (GOOD.replace("1000", "1003"), "line 2: the step would come back as"),
        (
            GOOD.replace("77", "9" * 20),
            "line 2, log: '99999999999999999999', expected a whole number below 2^48",
        ),
        (GOOD.replace("1000", str(1 << 48)), "line 2, uptime_ms"),
        (
            GOOD.replace("2026", "1969"),
            "line 2, time: '1969-06-01T08:00:01.000Z', expected a time since 1970",
        ),
        (
            GOOD.replace(",2026-06-01T08:00:01.000Z,exact,", ",,bounded,1970-01-01T00:00:00.500Z"),
            "line 2, earliest",
        ),
        (GOOD.replace("anna", "  "), "line 2, wearer: '  ', expected a name or nothing"),
        (GOOD + ",1", "line 2: 13 columns, expected 12"),
    ],
)
def test_a_csv_that_cannot_be_taken_as_it_is_changes_nothing(tmp_path, line, complaint):
    file, db = tmp_path / "steps.csv", tmp_path / "db.sqlite3"
    file.write_text(",".join(name for name, _ in COLUMNS["steps"]) + "\n" + line + "\n")
    with pytest.raises(ImportRefused) as refused:
        import_csv(file, db)
    assert complaint in str(refused.value)
    with Store(db) as store:
        assert store.logs() == []


def test_another_programs_csv_is_refused_by_its_header(tmp_path):
    file = tmp_path / "other.csv"
    file.write_text("date,steps\n2026-06-01,5\n")
    with pytest.raises(ImportRefused, match="expected wearer,device,log"):
        import_csv(file, tmp_path / "db.sqlite3")


def test_a_log_is_imported_once_and_never_mixed_with_a_device(db, tmp_path):
    file = tmp_path / "steps.csv"
    file.write_bytes(exported(db, level="steps")[0])
    with pytest.raises(ImportRefused, match=r"is in .* already"):
        import_csv(file, db)
    assert len(rows_of(exported(db, level="steps")[0])) == 19


def old_csv(tmp_path, wearer):
    """The exported steps of device abc on 2026-06-01, in an older log than 77 of `wearer`."""
    old, file = tmp_path / "old.sqlite3", tmp_path / "old.csv"
    store_log(old, Log().boot().anchor(0, UTC_0_MS).walk(1_000, 10, 1), log_id=1)
    if wearer is not None:
        with Store(old) as store:
            add_wearer(store, wearer)
    file.write_bytes(exported(old, level="steps")[0])
    return file


def steps_by_wearer(path):
    found = {}
    for row in rows_of(exported(path, level="steps")[0]):
        found[row["wearer"], row["log"]] = found.get((row["wearer"], row["log"]), 0) + 1
    return found


def test_an_import_takes_no_device_away_from_its_wearer(tmp_path):
    new = tmp_path / "new.sqlite3"
    store_log(new, Log().boot().anchor(0, UTC_0_MS + 100 * DAY_MS).walk(1_000, 50, 1))
    with Store(new) as store:
        add_wearer(store, "anna")
        assign(store, "anna", "abc", since_utc_ms=UTC_0_MS + 5_000)
    import_csv(old_csv(tmp_path, "ben"), new)
    # Ben's from the first step in the file to where anna has it: steps at 1, 1.5 ... 4.5 s.
    assert steps_by_wearer(new) == {("anna", "77"): 50, ("ben", "1"): 8, ("anna", "1"): 2}


def test_an_import_gives_a_known_device_only_for_the_time_of_its_steps(tmp_path):
    new = tmp_path / "new.sqlite3"
    store_log(new, Log().boot().anchor(0, UTC_0_MS + 100 * DAY_MS).walk(1_000, 50, 1))
    with Store(new) as store:
        add_wearer(store, "anna")
        assign(store, "anna", "abc", UTC_0_MS + 50 * DAY_MS, UTC_0_MS + 60 * DAY_MS)
    import_csv(old_csv(tmp_path, "ben"), new)
    assert steps_by_wearer(new) == {("", "77"): 50, ("ben", "1"): 10}


def test_what_was_the_only_wearers_stays_theirs_when_an_import_brings_another(tmp_path):
    new = tmp_path / "new.sqlite3"
    store_log(new, Log().boot().anchor(0, UTC_0_MS + 100 * DAY_MS).walk(1_000, 50, 1))
    store_log(new, Log().boot().anchor(0, UTC_0_MS).walk(1_000, 20, 1), device_id="other")
    with Store(new) as store:
        add_wearer(store, "anna")
    import_csv(old_csv(tmp_path, "ben"), new)
    assert steps_by_wearer(new) == {("anna", "77"): 70, ("anna", "1"): 10}


def test_wearers_that_cannot_be_assigned_leave_no_steps_behind(tmp_path, monkeypatch):
    def failing(*arguments):
        raise ImportRefused("no")

    file, new = old_csv(tmp_path, "ben"), tmp_path / "new.sqlite3"
    with monkeypatch.context() as broken:
        broken.setattr(csvlog, "_assign_wearers", failing)
        with pytest.raises(ImportRefused):
            import_csv(file, new)
    import_csv(file, new)
    assert steps_by_wearer(new) == {("ben", "1"): 10}


def test_a_device_is_not_synced_into_its_imported_log(tmp_path):
    from test_sync import DeviceUnderTest, run_sync

    device = DeviceUnderTest(tmp_path / "log")
    device.walk(40)
    first, second, file = tmp_path / "first.sqlite3", tmp_path / "second.sqlite3", tmp_path / "steps.csv"
    with Store(first) as store:
        run_sync(device, store)
    file.write_bytes(exported(first, level="steps")[0])
    import_csv(file, second)
    with Store(second) as store, pytest.raises(LogWentBack, match="was imported from a file"):
        run_sync(device, store)
    device.logbook.close()
    assert exported(second, level="steps")[0] == file.read_bytes()


def test_a_file_is_complete_or_not_there_at_all(tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(ZeroDivisionError), opened(target) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert target.read_text() == "before"
    target.chmod(0o640)
    with opened(target) as file:
        file.write(b"whole")
    assert target.read_text() == "whole"
    assert target.stat().st_mode & 0o777 == 0o640
    check_target(target, tmp_path / "new.csv", None)
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(OutputRefused, match="exists already"):
        check_target(target, new=True)
    with pytest.raises(OutputFailed, match="can't be written"), opened(tmp_path / "no" / "such.csv"):
        pass


@pytest.mark.parametrize(
    ("file_format", "level"), [("fhir", "steps"), ("apple", "steps"), ("xls", "days"), ("csv", "weeks")]
)
def test_formats_and_levels_that_do_not_go_together_are_refused(file_format, level):
    with pytest.raises(ExportUnsuitable, match="expected"):
        Export(file_format, level, Selection())


def test_time_as_text_is_exact_both_ways():
    for utc_ms in (0, UTC_0_MS + 7, 4_102_444_799_999):
        assert from_text(to_text(utc_ms)) == utc_ms


def decade(path, years):
    """Two walks a day for so many years, 40 steps each, one boot a month, synced daily."""
    log = Log()
    for day in range(365 * years):
        since_ms = day % 30 * DAY_MS
        if not since_ms:
            log.boot()
        log.anchor(since_ms + 1_000, UTC_0_MS + day * DAY_MS + 1_000)
        for hour in (1, 6):
            log.walk(since_ms + hour * HOUR_MS, 40, hour % 4)
    store_log(path, log)


MEASURED = """
import sys, time, tracemalloc
from pathlib import Path
from retrostep.export.formats import Export
from retrostep.export.selection import SECOND_IMPORT, Selection, Source

class Sink:
    size = 0
    def write(self, data): self.size += len(data); return len(data)
    def flush(self): pass
    def readable(self): return False
    def writable(self): return True
    def seekable(self): return False
    closed = False
tracemalloc.start()
sink = Sink()
with Source([Path(sys.argv[1])]) as source:
    Export(sys.argv[2], sys.argv[3], Selection()).write(source, 0, sink)
print(tracemalloc.get_traced_memory()[1], sink.size)
"""


def peak_bytes(path, file_format, level):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), file_format, level],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[0])


@pytest.mark.parametrize("file_format", ["csv", "fhir"])
def test_ten_years_export_in_the_memory_of_one(tmp_path, file_format):
    one, ten = tmp_path / "one.sqlite3", tmp_path / "ten.sqlite3"
    decade(one, 1)
    decade(ten, 10)
    more = peak_bytes(ten, file_format, "intervals") - peak_bytes(one, file_format, "intervals")
    # What grows is what dates the steps, 300 bytes a day. The 263,000 steps more would take 60 MB.
    assert more < 365 * 9 * 400


def test_every_format_is_reached_from_the_command_line(db, tmp_path):
    for file_format in FORMATS:
        out = tmp_path / f"out.{file_format}"
        result = CliRunner().invoke(app, ["export", "-f", file_format, "-o", str(out), "--db", str(db)])
        assert result.exit_code == 0, result.output
        assert out.stat().st_size > 100
    assert not list(tmp_path.glob(".*part"))


def test_days_are_told_to_the_command_line_as_one_means_them(db):
    command = ["export", "--db", str(db), "--zone", "Europe/Berlin", "-l", "steps"]
    for begin, end, steps in (
        ("2026-06-01", "2026-06-01", 19),
        ("2026-06-02", "2026-06-30", 0),
        ("2026-06-01T10:00:15.002", "2026-06-01T10:00:30", 5),
    ):
        result = CliRunner().invoke(app, [*command, "--from", begin, "--to", end])
        assert result.exit_code == 0, result.output
        assert len(rows_of(result.stdout_bytes)) == steps
    for wrong in ("June", "0001-01-01", "9999-12-31T23:59-14:00"):
        assert CliRunner().invoke(app, [*command, "--from", wrong]).exit_code == 2


def test_days_of_the_command_line_are_the_wearers(tmp_path):
    path = tmp_path / "db.sqlite3"
    # One in the morning of June 1 in Tokyo, and of June 2.
    night = UTC_0_MS - 16 * 3_600_000
    store_log(
        path, Log().boot().anchor(0, night).walk(0, 4, 0).walk(DAY_MS, 6, 0).anchor(DAY_MS, night + DAY_MS)
    )
    with Store(path) as store:
        add_wearer(store, "anna", "Asia/Tokyo")
    command = ["export", "--db", str(path), "-l", "days", "--from", "2026-06-01", "--to", "2026-06-01"]
    (day,) = rows_of(CliRunner().invoke(app, command).stdout_bytes)
    assert (day["day"], day["forward_steps"]) == ("2026-06-01", "4")
    with Store(path) as store:
        add_wearer(store, "ben", "America/New_York")
        assign(store, "anna", "abc")
    (day,) = rows_of(CliRunner().invoke(app, [*command, "--wearer", "anna"]).stdout_bytes)
    assert (day["day"], day["forward_steps"]) == ("2026-06-01", "4")


def blocks(page, language):
    """The code blocks of a page in docs/."""
    text = (device_root() / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_lines_of_the_data_page_run_as_they_stand_there(tmp_path, monkeypatch, capsys):
    import duckdb

    (tmp_path / "collected").mkdir()
    for number in range(2):
        database = tmp_path / "collected" / f"{number}.sqlite3"
        with Store(database) as store:
            fill(store, 1, number, date(2026, 11, 1))
            add_wearer(store, f"P{number}")
    # The default database is one of them.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.copytree(tmp_path / "collected", tmp_path / "data" / "retrostep")
    (tmp_path / "data" / "retrostep" / "0.sqlite3").rename(
        tmp_path / "data" / "retrostep" / "retrostep.sqlite3"
    )
    monkeypatch.chdir(tmp_path)
    page = (device_root() / "docs" / "data.md").read_text()
    commands = re.findall(r"^    retrostep (.*-o .*|.*--cohort .*|import .*)$", page, re.MULTILINE)
    assert len(commands) == 5
    for line in commands:
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    queries = blocks("data.md", "sql")
    assert len(queries) == 3
    for query in queries:
        assert duckdb.sql(query).fetchall(), query
    (script,) = blocks("data.md", "python")
    exec(compile(script, "data.md", "exec"), {})
    assert "backward" in capsys.readouterr().out


@pytest.mark.parametrize("level", list(COLUMNS))
def test_the_data_page_names_every_column(level):
    page = (device_root() / "docs" / "data.md").read_text()
    for name, _ in COLUMNS[level]:
        told = (
            name
            if "_steps" not in name and "_minutes" not in name
            else name.replace(name.split("_")[0], "forward")
        )
        assert f"`{told}`" in page or f"`{name}`" in page, name


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "DB", "--db", "DB"),
        ("report", "--png", "DB", "--db", "DB"),
        ("report", "--pdf", "LINK", "--db", "DB"),
        ("export", "--db", "DB", "--out", "DB"),
        ("evaluate", "FOLDER", "--json", "DB"),
        ("evaluate", "FOLDER", "--markdown", "DB"),
        ("evaluate", "FOLDER", "--page", "DB"),
        ("train", "FOLDER", "--out", "DB"),
        ("record", "DB", "--port", "none", "--subject", "a"),
    ],
)
def test_no_command_writes_over_a_database(db, tmp_path, monkeypatch, arguments):
    before = db.read_bytes()
    link = tmp_path / "page.html"
    link.symlink_to(db)
    named = {"DB": str(db), "LINK": str(link), "FOLDER": str(tmp_path)}
    with pytest.raises(OutputRefused, match="is a database and stays as it is"):
        CliRunner().invoke(app, [named.get(word, word) for word in arguments], catch_exceptions=False)
    assert db.read_bytes() == before
    assert OutputRefused in BAD_INPUT


def test_what_is_no_regular_file_is_written_to_and_not_replaced(db, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The export is small enough for the pipe to hold all of it.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    CliRunner().invoke(app, ["export", "--db", str(db), "--out", str(pipe)], catch_exceptions=False)
    told = os.read(reader, 1 << 16)
    os.close(reader)
    assert told == exported(db)[0]
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [pipe, db]
