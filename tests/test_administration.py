"""What a host may change on a device: settings. The device's own session and files, joined to the host's link."""

import asyncio
import json

import pytest
from test_sync import DeviceUnderTest, Joined
from typer.testing import CliRunner

import firmware.settings
from firmware.gait.mounting import Mounting
from firmware.link import protocol
from firmware.settings import Settings
from retrostep.board import VirtualBoard, flash_image
from retrostep.commands.settings import parse_assignments
from retrostep.link import Link, LinkError, Refused


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
    assert Settings(str(tmp_path / "settings.json")).waiting() == []
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


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b"7", b'{"a": '])
def test_settings_that_are_no_object_are_malformed(device, body):
    answers = []

    async def collect(message):
        answers.append(protocol.split(message))

    asyncio.run(device.session.handle(protocol.message(protocol.SETTINGS, 3, body), collect))
    ((opcode, tag, content),) = answers
    assert (opcode, tag, content[0]) == (protocol.ERROR, 3, protocol.ERROR_MALFORMED)


def test_a_secret_setting_is_never_read_back(device, link, monkeypatch):
    monkeypatch.setitem(
        firmware.settings._RULES, "password", (None, lambda value: isinstance(value, str), "text")
    )
    monkeypatch.setattr(firmware.settings, "_SECRET", ("password",))
    device.settings = Settings(device.settings._path)
    assert asyncio.run(link.settings()).values["password"] is False
    assert asyncio.run(link.settings({"password": "hunter2"})).values["password"] is True
    with pytest.raises(Refused) as refused:
        asyncio.run(link.settings({"password": 4711}))
    assert "4711" not in str(refused.value)


def test_settings_too_long_for_one_request_are_refused_before_they_are_sent(link):
    with pytest.raises(LinkError, match="set fewer at once"):
        asyncio.run(link.settings({"mounting": "00" * 300}))


def test_assignments_are_json_or_else_text():
    parsed = parse_assignments(["motor_percent=30", "mounting=null", "placement=shoe", "quiet_from=22:00"])
    assert parsed == {"motor_percent": 30, "mounting": None, "placement": "shoe", "quiet_from": "22:00"}
    assert json.dumps(parsed)


def retrostep(*words):
    from retrostep.cli import app

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
