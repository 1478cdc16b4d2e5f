"""What a host may change on a device: settings, the log's begin. The real session and files, joined to the link."""

import asyncio
import json

import pytest
import typer
from test_sync import DeviceUnderTest, Joined
from typer.testing import CliRunner

from firmware import steplog
from firmware.gait.mounting import Mounting
from firmware.link import protocol
from firmware.settings import Settings
from retrostep.board import VirtualBoard, flash_image
from retrostep.cli import app
from retrostep.commands.settings import parse_assignments, print_settings
from retrostep.history import read_history
from retrostep.link import Link, LinkError, Refused
from retrostep.store import Store
from retrostep.sync import sync


class AdministeredDevice(DeviceUnderTest):
    """A device with the real settings; what it would do about a change is noted."""

    def __init__(self, folder):
        super().__init__(folder / "log")
        self.settings = Settings(str(folder / "settings.json"))
        self.applied = []

    def apply_settings(self, names):
        self.applied.append(sorted(names))


@pytest.fixture
def device(tmp_path):
    made = AdministeredDevice(tmp_path)
    yield made
    made.logbook.close()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "db.sqlite3") as opened:
        yield opened


@pytest.fixture
def link(device):
    return Link(Joined(device.session))


def test_settings_are_read_without_changing_anything(device, link, tmp_path):
    found = asyncio.run(link.settings())
    assert found.values["motor_percent"] == 80
    assert found.restart == []
    assert not (tmp_path / "settings.json").exists()
    assert device.applied == []


def test_settings_are_changed_together_and_answered_as_they_are_then(device, link, tmp_path):
    found = asyncio.run(link.settings({"motor_percent": 30, "log_bytes": 100_000}))
    assert (found.values["motor_percent"], found.values["log_bytes"]) == (30, 100_000)
    assert device.applied == [["log_bytes", "motor_percent"]]
    assert Settings(str(tmp_path / "settings.json"))["log_bytes"] == 100_000


def test_a_change_that_waits_for_a_restart_is_named_until_then(device, link, tmp_path):
    asyncio.run(link.settings({"placement": "shoe"}))
    assert asyncio.run(link.settings()).restart == ["placement"]
    # Nothing on the device goes by it before.
    assert device.settings["placement"] == "waist"
    restarted = Settings(str(tmp_path / "settings.json"))
    assert restarted["placement"] == "shoe"
    assert restarted.waiting() == []
    assert asyncio.run(link.settings({"placement": "waist"})).restart == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"motor_percent": 30, "placement": "head"},
            "placement: expected one of waist, shoe, pocket, got 'head'",
        ),
        ({"motor_percent": 30, "colour": 1}, "colour: expected one of"),
        ({"motor_percent": [1] * 100}, "expected a whole number 0 to 100, got"),
    ],
)
def test_one_bad_value_refuses_all_changes_and_says_which(device, link, changes, said):
    with pytest.raises(Refused, match=said):
        asyncio.run(link.settings(changes))
    assert asyncio.run(link.settings()).values["motor_percent"] == 80
    assert device.applied == []


def test_of_a_secret_setting_it_is_told_whether_it_is_set(link, capsys):
    asyncio.run(link.settings({"update_key": "ab" * 32}))
    print_settings(asyncio.run(link.settings()), as_json=False)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    assert (told["update_key"], told["wifi"], told["cues_off"]) == ("set", "not set", "false")


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b"7", b'{"a": '])
def test_settings_that_are_no_object_are_malformed(device, body):
    answers = []

    async def collect(message):
        answers.append(protocol.split(message))

    asyncio.run(device.session.handle(protocol.message(protocol.SETTINGS, 3, body), collect))
    ((opcode, tag, content),) = answers
    assert (opcode, tag, content[0]) == (protocol.ERROR, 3, protocol.ERROR_MALFORMED)


def test_a_secret_setting_is_never_read_back(device, link):
    assert asyncio.run(link.settings()).values["update_key"] is False
    with pytest.raises(Refused) as refused:
        asyncio.run(link.settings({"update_key": "4711"}))
    assert "4711" not in str(refused.value)
    assert asyncio.run(link.settings({"update_key": "47" * 32})).values["update_key"] is True


def test_settings_too_long_for_one_request_are_refused_before_they_are_sent(link):
    with pytest.raises(LinkError, match="set fewer at once"):
        asyncio.run(link.settings({"mounting": "00" * 300}))


def test_assignments_are_json_or_else_text():
    parsed = parse_assignments(["motor_percent=30", "mounting=null", "placement=shoe", "quiet_from=22:00"])
    assert parsed == {"motor_percent": 30, "mounting": None, "placement": "shoe", "quiet_from": "22:00"}
    assert json.dumps(parsed)


def test_assignments_that_look_like_numbers_stay_text_where_the_setting_is_text():
    key = "12" * 20
    parsed = parse_assignments([f"mounting={key}", "placement=7", "quiet_from=12e4", "motor_percent=12e1"])
    assert parsed == {"mounting": key, "placement": "7", "quiet_from": "12e4", "motor_percent": 120.0}
    assert parse_assignments(["of_a_later_firmware=12345678"]) == {"of_a_later_firmware": 12345678}


@pytest.mark.parametrize("assignment", ['wifi={"password": "sesame"}', "wifi=sesame", "update_key=sesame"])
def test_a_secret_is_no_argument(assignment):
    with pytest.raises(typer.BadParameter) as refused:
        parse_assignments([assignment])
    assert "sesame" not in str(refused.value)
    assert parse_assignments(["wifi=null"]) == {"wifi": None}


def test_a_log_that_was_synced_can_be_erased_and_a_new_one_begins(device, link, store):
    device.walk(300)
    asyncio.run(sync(link, store))
    log_id = asyncio.run(link.erase())
    assert log_id == device.logbook.journal.log_id != 77
    assert device.logbook.counts() == [0, 0, 0, 0]
    device.walk(40, direction=1)
    asyncio.run(sync(link, store))
    assert [log["log_id"] for log in store.logs()] == [77, log_id]
    steps = read_history(store).steps
    assert len(steps) == 340
    assert None not in [step.utc_ms for step in steps]


@pytest.mark.parametrize("clock_set", [True, False])
def test_todays_count_goes_on_through_an_erase(device, link, clock_set):
    backward = steplog.DIRECTIONS.index("backward")
    device.walk(30, backward)
    device.day_count.observe(20_500 * 86_400_000, device.clock.uptime_ms(), 30)
    device.day_count.synced(30)
    device.walk(50, backward)
    asyncio.run(link.erase(force=True))
    assert device.day_count.today(clock_set, device.logbook.counts()[backward]) == 50
    device.walk(45, backward)
    assert device.day_count.today(clock_set, device.logbook.counts()[backward]) == 95


def test_steps_after_an_erase_have_their_time_without_another_host(device, link, store):
    asyncio.run(sync(link, store))
    asyncio.run(link.erase())
    device.walk(10)
    device.logbook.flush()
    kinds = [kind for _, kind, _ in device.logbook.journal.records()]
    assert kinds[:2] == [steplog.BOOT, steplog.ANCHOR]


def test_a_log_that_nobody_stored_is_erased_only_by_force(device, link):
    device.walk(300)
    with pytest.raises(Refused, match="not acknowledged: sync first"):
        asyncio.run(link.erase())
    assert device.logbook.counts() == [300, 0, 0, 0]
    asyncio.run(link.erase(force=True))
    assert device.logbook.counts() == [0, 0, 0, 0]


def test_an_erased_log_is_removed_bit_by_bit_and_the_next_one_need_not_wait(device, link, tmp_path):
    for _ in range(2):
        device.walk(60_000)
        asyncio.run(link.erase(force=True))
    erased = tmp_path / "log.erased"
    files = len(list(erased.iterdir()))
    assert files > 4
    while device.logbook.remove_erased():
        assert files - 4 <= len(list(erased.iterdir())) < files
        files = len(list(erased.iterdir()))
    assert not erased.exists()


def test_a_host_that_reads_while_another_erases_gets_no_record_of_the_new_log(device, store):
    class Meddling(Joined):
        """Another host erases the log in the middle of an answer."""

        async def _deliver(self, message):
            if message[0] == protocol.RECORDS and device.logbook.journal.log_id == 77:
                device.logbook.erase(78)
                device.walk(3_000)
            await super()._deliver(message)

    device.walk(12_000)
    with pytest.raises(Refused, match="erased meanwhile"):
        asyncio.run(sync(Link(Meddling(device.session)), store))
    asyncio.run(sync(Link(Joined(device.session)), store))
    assert [log["log_id"] for log in store.logs()] == [77, 78]
    by_log = [[record[0] for record in store.records(log["id"])] for log in store.logs()]
    assert by_log == [[], list(range(1, device.logbook.journal.flushed_sequence))]


def test_a_host_that_stores_while_another_erases_acknowledges_nothing_of_the_new_log(device, store):
    class Meddling(Joined):
        """Another host erases the log between the answer and its acknowledgement."""

        async def send(self, message):
            if message[0] == protocol.ACK and device.logbook.journal.log_id == 77:
                device.logbook.erase(78)
                device.walk(3_000)
            await super().send(message)

    device.walk(1_000)
    with pytest.raises(Refused, match="log 77 was erased meanwhile, now it is log 78: sync again"):
        asyncio.run(sync(Link(Meddling(device.session)), store))
    assert device.logbook.journal.acknowledged == 0
    asyncio.run(sync(Link(Joined(device.session)), store))
    new = store.logs()[1]
    assert next(record[0] for record in store.records(new["id"])) == 1


def retrostep(*words):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_settings_of_a_board_are_changed_by_cable_and_kept(tmp_path):
    image = tmp_path / "flash.img"
    flash_image.create(image)
    with VirtualBoard(image) as board:
        port = board.port
        retrostep("settings", "set", "motor_percent=0", "placement=shoe", "--port", port, "--json")
        answer = retrostep("settings", "show", "--port", port, "--json")
        assert (answer["settings"]["motor_percent"], answer["restart"]) == (0, ["placement"])
        mounting = Mounting.clip().pack().hex()
        retrostep("settings", "set", f"mounting={mounting}", "--port", port, "--json")
        status = retrostep("status", "--port", port, "--db", str(tmp_path / "db"), "--json")["device"]
        assert (status["calibrated"], status["placement"]) == (1, "waist")
        board.cut_power()
        board.power_on()
        board.advance(2)
        assert retrostep("status", "--port", port, "--db", str(tmp_path / "db"), "--json")["device"][
            "placement"
        ] == ("shoe")


def test_a_board_is_erased_after_a_sync_and_goes_on_without_a_reset(tmp_path):
    image = tmp_path / "flash.img"
    flash_image.create(image)
    db = str(tmp_path / "db")
    with VirtualBoard(image) as board:
        way = ("--port", board.port, "--db", db)
        before = retrostep("status", *way, "--json")["device"]
        refused = CliRunner().invoke(app, ["erase", *way])
        assert (refused.exit_code, "--yes" in refused.output) == (2, True)
        erased = retrostep("erase", "--yes", *way, "--json")
        after = retrostep("status", *way, "--json")["device"]
    assert before["log_id"] != after["log_id"] == erased["log_id"]
    assert (after["next_sequence"], after["acknowledged"]) == (3, 0)
    with Store(tmp_path / "db") as store:
        assert [log["log_id"] for log in store.logs()] == [before["log_id"]]
