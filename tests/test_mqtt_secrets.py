"""The passwords of network and broker: who may set them, and every place where they must not turn up."""

import asyncio
import functools
import json

import pytest
import typer
from broker import PASSWORD, USER, Mosquitto, Subscriber
from wifi_board import VISITED_S, board_of, create_image, printed, run_command, wifi_setting

from firmware.link import packets
from firmware.settings import Settings
from retrostep import cli
from retrostep.board import flash_image
from retrostep.link import Link, LinkError

pytestmark = pytest.mark.services

NETWORK_PASSWORD = "hunter2 at home"
SECRETS = (NETWORK_PASSWORD, PASSWORD)
WORDS = ("wifi", "set", "home", "127.0.0.1", "--no-tls", "--user", USER, "--every-h", "1")


def holds_secret(content):
    """Whether text or bytes, JSON or hex of it, hold one of the passwords."""
    content = content if isinstance(content, bytes) else content.encode()
    return any(
        form in content for secret in SECRETS for form in (secret.encode(), secret.encode().hex().encode())
    )


def files_with_secret(image):
    """The files on a flash image that hold one of the passwords."""
    return [path for path in flash_image.listing(image) if holds_secret(flash_image.read(image, path))]


@pytest.fixture
def image(tmp_path):
    return create_image(tmp_path / "flash.img", None)


@pytest.fixture
def run(tmp_path):
    return functools.partial(run_command, tmp_path)


@pytest.fixture
def locked(mosquitto, tmp_path):
    """A broker that knows one user."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder, password=True) as server:
        yield server


def test_mqtt_secrets_stay_out_of_what_is_printed_logged_stored_and_published(locked, image, run, tmp_path):
    typed = f"{NETWORK_PASSWORD}\n{PASSWORD}\n"
    database = tmp_path / "walks.sqlite3"
    said = []
    with (
        Subscriber(locked.port, user=USER, password=PASSWORD) as listener,
        board_of(image, "refuses") as board,
    ):
        board.set_speed(1.0)
        by_cable = ("--port", board.port)
        code, text = run((*WORDS, "--broker-port", str(locked.port), *by_cable), typed)
        assert code == 0, text
        said.append(text)
        for words in (
            ("settings", "show", "--json"),
            ("settings", "set", "motor_percent=20"),
            ("status", "--json", "--db", str(database)),
            ("sync", "--db", str(database)),
            ("doctor", "--db", str(database)),
        ):
            code, text = run((*words, *by_cable))
            assert code == 0 or words[0] == "doctor", text
            said.append(text)
        board.set_speed(0)
        board.advance(2 * VISITED_S)
        assert "refuses the password" in printed(board)
        board.set_wifi("there")
        board.advance(3600)
        listener.wait_for(lambda messages: messages and messages[-1][1] == "offline")
        said.append(printed(board))
        board.cut_power()
    assert json.loads(said[1])["settings"]["wifi"] is True
    assert not any(holds_secret(text) for text in said)
    assert not any(holds_secret(text) for _, text, _ in listener.messages)
    assert not holds_secret(database.read_bytes())
    assert files_with_secret(image) == ["/settings.json"]


def test_mqtt_secrets_stay_out_of_what_a_crash_leaves_behind(tmp_path):
    """The crash happens where the setting is at hand, and is logged at the next start."""
    broken = tmp_path / "visits.py"
    broken.write_text(
        "class Visits:\n"
        "    def __init__(self, device, *more):\n"
        "        self._device = device\n"
        "    def under_way(self, step_ms, busy):\n"
        '        wifi = self._device.settings["wifi"]\n'
        '        return wifi["broken on purpose"]\n'
    )
    wifi = wifi_setting(1883, password=NETWORK_PASSWORD, user=USER, secret=PASSWORD)
    image = create_image(tmp_path / "flash.img", wifi)
    flash_image.install(image, [(broken, "/firmware/visits.py")])
    with board_of(image) as board:
        board.advance(60)
        assert len([event for event in board.events if event.kind == "boot"]) > 2
        assert "broken on purpose" in printed(board)
        assert not holds_secret(printed(board))
        board.cut_power()
    told = [
        path for path in flash_image.listing(image) if b"broken on purpose" in flash_image.read(image, path)
    ]
    assert {"/crash.told", "/firmware/visits.py"} < set(told)
    assert any(path.startswith("/log/") for path in told)
    assert files_with_secret(image) == ["/settings.json"]


def test_mqtt_secrets_of_a_setting_that_is_refused_are_not_repeated(image, run):
    long = NETWORK_PASSWORD * 9
    with board_of(image) as board:
        board.set_speed(1.0)
        code, text = run((*WORDS, "--port", board.port), f"{long}\n{PASSWORD}\n")
        assert code == 1
        assert "setting wifi: expected" in text
        assert not holds_secret(text)
        assert not holds_secret(printed(board))


def test_mqtt_secrets_in_a_damaged_settings_file_are_not_printed(tmp_path, capsys):
    wifi = wifi_setting(0, password=NETWORK_PASSWORD, user=USER, secret=PASSWORD)
    path = tmp_path / "settings.json"
    for stored in (json.dumps({"wifi": wifi}), json.dumps({"wifi": wifi})[:-9], json.dumps([wifi])):
        path.write_text(stored)
        assert Settings(str(path))["wifi"] is None
    told = capsys.readouterr().out
    assert told.count("settings: ") == 3
    assert not holds_secret(told)


def test_mqtt_secrets_are_no_argument_of_any_command():
    """Arguments can be seen by every user of the computer: none takes a password."""

    def options(command, path):
        for parameter in command.params:
            yield from (f"{path} {name}" for name in (*parameter.opts, parameter.name or ""))
        for name, inner in getattr(command, "commands", {}).items():
            yield from options(inner, f"{path} {name}")

    every = list(options(typer.main.get_command(cli.app), "retrostep"))
    assert "retrostep wifi set --user" in every
    assert [one for one in every if any(word in one for word in ("pass", "secret", "token"))] == []


bumble = pytest.importorskip(
    "bumble", reason="the virtual radio's Bluetooth stack needs Python 3.11 or newer"
)

from bleak import BleakClient  # noqa: E402
from desk import HEARD_AT_ONCE_S, Desk, device_and_aioble, stranger  # noqa: E402

from retrostep import radio  # noqa: E402
from retrostep.board.laptop import Laptop  # noqa: E402
from retrostep.board.radio import Air, BoardRadio  # noqa: E402


def test_mqtt_secrets_are_taken_by_bluetooth_from_a_bonded_host_only_and_never_told_back(tmp_path):
    files = [entry for entry in device_and_aioble() if "/aioble/" in entry[1]]
    image = create_image(tmp_path / "flash.img", None, files)
    wifi = wifi_setting(1883, password=NETWORK_PASSWORD, user=USER, secret=PASSWORD)
    with Air(advertising_interval_s=HEARD_AT_ONCE_S) as air:
        board_radio = BoardRadio(air)
        with board_of(image, "absent", radio=board_radio) as board:
            desk = Desk(board, board_radio, Laptop(air), tmp_path)
            board.advance(1)
            desk.hold()
            desk.pair()

            async def set_wifi(transport):
                return (await Link(transport).settings({"wifi": wifi})).values

            async def read(transport):
                return (await Link(transport).settings()).values

            async def read_characteristics():
                device = await radio.find(None, 2.0, desk.backend)
                async with BleakClient(device, backend=desk.backend.client) as client:
                    await asyncio.sleep(0.2)
                    return [
                        bytes(await client.read_gatt_char(one)) for one in (packets.SETTINGS, packets.STATUS)
                    ]

            with pytest.raises(LinkError):
                desk.over(set_wifi, backend=stranger(air))
            assert desk.over(read)["wifi"] is False
            told = desk.over(set_wifi)
            assert told["wifi"] is True
            shown, status = asyncio.run(read_characteristics())
            assert json.loads(shown)["wifi"] is True
            assert not any(holds_secret(one) for one in (json.dumps(told), shown, status))
            assert not holds_secret(printed(board))
            board.cut_power()
    assert json.loads(flash_image.read(image, "/settings.json"))["wifi"] == wifi
    assert files_with_secret(image) == ["/settings.json"]
