"""MQTT from the database: what a real broker is told, and what happens when it is away, false or unwilling."""

import json
import re
import sys
from datetime import date, timedelta

import pytest
from broker import PASSWORD, USER, Mosquitto, Subscriber, free_port

from firmware import mqtt_payloads, steplog
from retrostep import broker, cli
from retrostep.broker import Broker, BrokerError, BrokerNotSetUp, BrokerSettings
from retrostep.device_tree import device_root
from retrostep.history import read_history
from retrostep.periods import days
from retrostep.publishing import publish
from retrostep.store import Store
from retrostep.stretches import stretches_of
from retrostep.wearers import add_wearer

pytestmark = pytest.mark.services
# paho leaves the socket of a handshake that failed to the garbage collector.
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DEVICE = "a0b1c2d3e4f5"
STATUS = {"device_id": DEVICE, "board": "xiao_esp32s3", "firmware": "0.1.0", "log_id": 0xBEEF}
# 2026-11-20 12:00 UTC.
NOON_MS = 1_795_176_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(server):
    return BrokerSettings("127.0.0.1", server.port, tls=False)


class Walks:
    """A log that grows by bouts, events and the rest, in a database."""

    def __init__(self, path, utc_ms=NOON_MS):
        self.path = path
        self._sequence = 0
        self._uptime_ms = 1000
        boot = steplog.encode_boot(0, 0, 0, "0.1.0", "physics-waist-1", "xiao_esp32s3")
        anchor = steplog.encode_anchor(0, 1000, utc_ms, 5, steplog.SOURCE_HOST)
        self._add([(steplog.BOOT, boot), (steplog.ANCHOR, anchor)])

    def _add(self, records):
        rows = [(self._sequence + number, *record) for number, record in enumerate(records)]
        self._sequence += len(rows)
        with Store(self.path) as store:
            log, _ = store.open_log(STATUS)
            store.add_batch(log, rows, self._sequence)

    def bout(self, direction="backward", steps=20, pause_ms=HOUR_MS):
        """A bout after a pause, at 120 steps a minute."""
        self._uptime_ms += pause_ms
        number = steplog.DIRECTIONS.index(direction)
        chunk = steplog.StepChunk(0, 1)
        first_ms = self._uptime_ms
        for step in range(steps):
            self._uptime_ms = first_ms + step * 500
            chunk.add_step(self._uptime_ms, number, 90, None)
        chunk.add_bout(number, None, steps, self._uptime_ms - first_ms, self._uptime_ms)
        self._add([(steplog.STEPS, chunk.payload())])

    def events(self):
        event = steplog.encode_event(0, self._uptime_ms, steplog.EVENTS.index("unstable"), 70)
        battery = steplog.encode_battery(0, self._uptime_ms, 3800)
        self._add([(steplog.EVENT, event), (steplog.BATTERY, battery)])

    def publish(self, settings):
        with Store(self.path) as store:
            return publish(store, settings)


@pytest.fixture
def walks(tmp_path):
    return Walks(tmp_path / "walks.sqlite3")


def test_mqtt_what_is_state_is_retained_and_what_is_an_event_is_not(server, walks):
    walks.bout("backward", 20)
    walks.bout("forward", 31)
    walks.events()
    walks.publish(at(server))
    with Subscriber(server.port, "retrostep/#", "later") as later:
        later.wait_for(lambda messages: len(messages) >= 5)
    assert all(retained for _, _, retained in later.messages)
    assert later.of("/event") == []
    assert (f"retrostep/{DEVICE}/availability", "offline", True) in later.messages
    (day,) = later.of("/day")
    assert (day["day"], day["backward"], day["forward"], day["backward_s"]) == ("2026-11-20", 20, 31, 9)
    (bout,) = later.of("/bout")
    assert (bout["direction"], bout["steps"], bout["duration_s"]) == ("forward", 31, 15.0)
    assert bout["utc"] == "2026-11-20T14:00:24Z"
    assert bout["cadence_per_min"] == 120
    (battery,) = later.of("/battery")
    assert (battery["battery_mv"], battery["percent"]) == (3800, 55)
    assert later.of("/firmware")[0]["board"] == "xiao_esp32s3"


def test_mqtt_events_reach_those_who_listen(server, walks):
    walks.events()
    with Subscriber(server.port) as listener:
        walks.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
    (event,) = listener.of("/event")
    assert (event["event_type"], event["strength"]) == ("unstable", 70)


def test_mqtt_home_assistant_is_told_of_one_device_whose_entities_name_topics_that_exist(server, walks):
    walks.bout()
    walks.events()
    with Subscriber(server.port) as listener:
        walks.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
    configs = {topic: json.loads(text) for topic, text, _ in listener.messages if topic.endswith("/config")}
    assert {topic.split("/")[0] for topic in configs} == {"homeassistant"}
    assert {topic.split("/")[1] for topic in configs} == {"sensor", "event", "binary_sensor"}
    assert len({config["unique_id"] for config in configs.values()}) == len(configs) == 13
    assert {tuple(config["device"]["identifiers"]) for config in configs.values()} == {
        (f"retrostep_{DEVICE}",)
    }
    told = {topic: text for topic, text, _ in listener.messages if topic.startswith("retrostep/")}
    for config in configs.values():
        if config["state_topic"].endswith("/test3m"):
            continue
        payload = told[config["state_topic"]]
        if "value_template" in config:
            key = config["value_template"].removeprefix("{{ value_json.").removesuffix(" }}")
            assert key in json.loads(payload), config["name"]
    with Subscriber(server.port, "homeassistant/#", "later") as later:
        later.wait_for(lambda messages: len(messages) == len(configs))
    assert all(retained for _, _, retained in later.messages)


def test_mqtt_the_will_speaks_for_a_publisher_that_ends_without_a_word(server):
    topic = mqtt_payloads.topic(DEVICE, "availability")
    with Subscriber(server.port) as listener:
        publisher = Broker(at(server), "p", topic)
        publisher.__enter__()
        listener.wait_for(lambda messages: messages and messages[-1][1] == "online")
        # The connection goes without MQTT's goodbye.
        publisher._client.reconnect_delay_set(60, 60)
        publisher._client.socket().shutdown(2)
        listener.wait_for(lambda messages: messages[-1] == (topic, "offline", False))
        publisher._end()


def test_mqtt_messages_outlive_a_restart_of_the_broker_between_them(server):
    topic = mqtt_payloads.topic(DEVICE, "availability")
    with Subscriber(server.port, "numbers") as listener, Broker(at(server), "p", topic) as publisher:
        publisher.deliver([("numbers", str(number), False) for number in range(50)])
        listener.wait_for(lambda messages: len(messages) == 50)
        server.stop()
        server.start()
        publisher.deliver([("numbers", str(number), False) for number in range(50, 100)])
        listener.wait_for(lambda messages: len({text for _, text, _ in messages}) == 100)
    seen = list(dict.fromkeys(text for _, text, _ in listener.messages))
    assert seen == [str(number) for number in range(100)]


def test_mqtt_a_broker_that_is_away_for_a_day_gets_everything_in_order_and_once_by_id(
    mosquitto, tmp_path, walks
):
    folder = tmp_path / "broker"
    folder.mkdir()
    server = Mosquitto(mosquitto, folder)
    with server, Subscriber(server.port) as listener:
        walks.bout("backward", 12)
        walks.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
        server.stop()
        for hour in range(24):
            walks.bout("backward" if hour % 2 else "forward", 10 + hour)
            walks.events()
            with pytest.raises(BrokerError, match="no broker answers"):
                walks.publish(at(server))
        server.start()
        walks.publish(at(server))
        listener.wait_for(lambda messages: len([one for one in messages if one[0].endswith("/bout")]) == 25)
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
        assert walks.publish(at(server))[0].records == 0
    bouts = listener.of("/bout")
    assert [bout["steps"] for bout in bouts] == [12, *range(10, 34)]
    assert len(listener.of("/event")) == 24
    records = [one for one in listener.ids() if "2026-" not in one]
    assert len(records) == len(set(records))
    totals = {day["day"]: day for day in listener.of("/day")}
    assert sorted(totals) == ["2026-11-20", "2026-11-21"]
    assert sum(day["backward"] + day["forward"] for day in totals.values()) == 12 + sum(range(10, 34))


def test_mqtt_a_run_that_dies_before_it_notes_its_place_repeats_ids_and_makes_none_up(
    server, walks, monkeypatch
):
    walks.bout()
    walks.events()
    with Subscriber(server.port) as listener:
        with monkeypatch.context() as dying:
            dying.setattr(
                "retrostep.publishing.Progress.note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                walks.publish(at(server))
        first = set(listener.ids())
        walks.publish(at(server))
        listener.wait_for(lambda messages: any(one[0].endswith("/day") for one in messages))
    repeated = [one for one in listener.ids() if "2026-" not in one]
    assert len(first) == 4
    assert set(repeated) == first
    assert len(repeated) == 2 * len(first)


def test_mqtt_days_are_those_of_the_report(server, walks):
    for number in range(60):
        walks.bout(steplog.DIRECTIONS[number % 4], 15 + number, 53 * 60_000)
    with Subscriber(server.port) as listener:
        walks.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
    with Store(walks.path) as store:
        stretches = stretches_of(read_history(store).blocks)
    expected = {str(day.first): day.counts for day in days(stretches, None)}
    told = {day["day"]: {name: day[name] for name in steplog.DIRECTIONS} for day in listener.of("/day")}
    assert len(told) == 3
    assert told == expected


def test_mqtt_steps_without_a_date_are_told_as_bouts_and_count_on_no_day():
    digest = mqtt_payloads.Digest(DEVICE, 1, lambda *_: None, mqtt_payloads.fixed_days(0))
    chunk = steplog.StepChunk(0, 1)
    chunk.add_step(1000, 1, 90, None)
    chunk.add_bout(1, None, 1, 0, 1000)
    ((topic, text, _),) = digest.take(0, steplog.STEPS, chunk.payload())
    assert topic.endswith("/bout")
    assert json.loads(text)["utc"] is None
    assert list(digest.today()) == []


def chunk_at(at_ms, steps):
    chunk = steplog.StepChunk(0, 1)
    for number in range(steps):
        chunk.add_step(at_ms + number * 500, 1, 90, None)
    return chunk.payload()


def test_mqtt_steps_of_a_day_that_is_over_do_not_count_on_a_later_one():
    day_ms = 86_400_000
    digest = mqtt_payloads.Digest(DEVICE, 1, lambda tag, sequence, ms: ms, mqtt_payloads.fixed_days(0))
    for sequence, day in enumerate((20_001, 20_000, 20_001)):
        assert list(digest.take(sequence, steplog.STEPS, chunk_at(day * day_ms + 1000, 7))) == []
    ((_, text, _),) = digest.today()
    assert json.loads(text)["backward"] == 14


def test_mqtt_a_clock_that_was_years_ahead_opens_no_day(server, tmp_path):
    ahead = Walks(tmp_path / "ahead.sqlite3", utc_ms=3_500_000_000_000)
    ahead.bout()
    with Subscriber(server.port) as listener:
        ahead.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
        (bout,) = listener.of("/bout")
        assert bout["utc"] is None
        assert listener.of("/day") == []


@pytest.mark.parametrize(("zone", "number"), [("Australia/Brisbane", 2), ("UTC", 1)])
def test_mqtt_days_are_those_of_the_wearers_zone(server, walks, zone, number):
    for _ in range(3):
        walks.bout()
    with Store(walks.path) as store:
        add_wearer(store, "Ada", zone)
    with Subscriber(server.port) as listener:
        walks.publish(at(server))
        listener.wait_for(lambda messages: messages[-1][1] == "offline")
        assert len({day["day"] for day in listener.of("/day")}) == number


@pytest.mark.parametrize("content", ["[]", "{", "7"])
def test_mqtt_a_damaged_note_of_the_place_has_everything_go_out_again(server, walks, content):
    walks.bout()
    walks.path.with_name(walks.path.name + ".mqtt.json").write_text(content)
    (published,) = walks.publish(at(server))
    assert published.records == 3


# What Home Assistant takes: units of a device class, and whether it may have a state class.
UNITS = {"duration": ("s", True), "battery": ("%", True), "voltage": ("mV", True), "timestamp": (None, False)}


def test_mqtt_home_assistant_accepts_the_classes_and_units_of_every_entity():
    for topic, text, retained in mqtt_payloads.discovery(DEVICE, "xiao_esp32s3", "0.1.0"):
        assert retained
        assert re.fullmatch(
            rf"homeassistant/(sensor|event|binary_sensor)/retrostep_{DEVICE}/\w+/config", topic
        )
        entity = json.loads(text)
        component = topic.split("/")[1]
        if component == "sensor":
            unit, counted = UNITS.get(entity.get("device_class"), (entity.get("unit_of_measurement"), True))
            assert entity.get("unit_of_measurement") == unit
            assert entity.get("state_class") in (
                (None, "measurement", "total_increasing") if counted else (None,)
            )
            # Without a unit a state class would make a number of a text.
            assert "state_class" not in entity or unit
        elif component == "event":
            assert entity["event_types"] == list(steplog.EVENTS)
        else:
            assert entity["device_class"] == "connectivity"
            assert (entity["payload_on"], entity["payload_off"]) == ("online", "offline")


def test_mqtt_dashboard_of_the_documentation_names_entities_that_discovery_makes():
    made = set()
    for topic, text, _ in mqtt_payloads.discovery(DEVICE, "xiao_esp32s3", "0.1.0"):
        entity = json.loads(text)
        name = f"{entity['device']['name']} {entity['name']}".lower()
        made.add(f"{topic.split('/')[1]}.{re.sub('[^a-z0-9]+', '_', name)}")
    (dashboard,) = re.findall(
        r"```yaml\n(.*?)```", (device_root() / "docs" / "mqtt.md").read_text(), re.DOTALL
    )
    named = set(re.findall(r"\b(?:sensor|event|binary_sensor)\.\w+", dashboard))
    assert len(named) >= 8
    assert named <= made


@pytest.mark.parametrize("day", [0, 59, 60, 11_016, 20_453, 20_512, 47_481])
def test_mqtt_dates_are_those_of_the_calendar(day):
    assert mqtt_payloads.day_text(day) == str(date(1970, 1, 1) + timedelta(days=day))


@UNCLOSED
def test_mqtt_tls_a_broker_with_a_known_authority_is_believed_and_any_other_refused(
    mosquitto, certificates, walks
):
    ca = str(certificates / "ca.pem")
    with Mosquitto(mosquitto, certificates, "broker") as server:
        published = walks.publish(BrokerSettings("localhost", server.port, ca_file=ca))
        assert published[0].records == 2
        with pytest.raises(BrokerError, match=r"not believed.*--ca"):
            walks.publish(BrokerSettings("localhost", server.port))
    with (
        Mosquitto(mosquitto, certificates, "wrong") as server,
        pytest.raises(BrokerError, match=r"not believed: self.signed certificate"),
    ):
        walks.publish(BrokerSettings("localhost", server.port, ca_file=ca))


@UNCLOSED
def test_mqtt_tls_a_certificate_for_another_name_is_refused(mosquitto, certificates, walks):
    ca = str(certificates / "ca.pem")
    with (
        Mosquitto(mosquitto, certificates, "elsewhere") as server,
        pytest.raises(BrokerError, match="not believed: Hostname mismatch"),
    ):
        walks.publish(BrokerSettings("localhost", server.port, ca_file=ca))


def test_mqtt_a_wrong_password_is_told_as_that(mosquitto, tmp_path, walks):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(mosquitto, folder, password=True) as server:
        right = BrokerSettings("127.0.0.1", server.port, False, None, USER, PASSWORD)
        assert walks.publish(right)[0].records == 2
        with pytest.raises(BrokerError, match=rf"refused user '{USER}'.*password"):
            walks.publish(BrokerSettings("127.0.0.1", server.port, False, None, USER, "guess"))


def test_mqtt_the_password_is_kept_from_other_users_and_out_of_what_is_shown(tmp_path, monkeypatch):
    path = tmp_path / "mqtt.json"
    settings = BrokerSettings("h", 1, True, None, USER, PASSWORD)
    broker.save(settings, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in repr(settings)
    assert broker.load(path) == settings
    monkeypatch.setenv(broker.PASSWORD_VARIABLE, "other")
    assert broker.load(path).password == "other"
    path.chmod(0o644)
    with pytest.raises(BrokerNotSetUp, match="chmod 600"):
        broker.load(path)
    with pytest.raises(BrokerNotSetUp, match="retrostep mqtt setup"):
        broker.load(tmp_path / "none.json")


def test_mqtt_setup_takes_the_password_from_a_pipe_and_the_command_publishes(
    mosquitto, tmp_path, walks, monkeypatch, capsys
):
    folder = tmp_path / "broker"
    folder.mkdir()
    monkeypatch.setattr(broker, "user_config_path", lambda *_, **__: tmp_path / "config")
    (tmp_path / "typed").write_text(PASSWORD + "\n")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["retrostep", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code or 0

    with Mosquitto(mosquitto, folder, password=True) as server, (tmp_path / "typed").open() as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert run("mqtt", "setup", "127.0.0.1", "--port", str(server.port), "--no-tls", "--user", USER) == 0
        assert run("mqtt", "--db", str(walks.path)) == 0
    told = capsys.readouterr()
    assert "2 new records" in told.out
    assert PASSWORD not in told.out + told.err
    assert run("mqtt", "--db", str(walks.path)) == 1
    assert "no broker answers" in capsys.readouterr().err


def test_a_broker_of_an_impossible_name_is_told_as_such():
    with (
        pytest.raises(BrokerError, match=r"name 'a\.\.b' is no host name.*expected one like"),
        Broker(BrokerSettings("a..b", tls=False), "x", "x/availability"),
    ):
        pass


def test_mqtt_a_port_without_a_broker_is_told_with_what_to_do(walks):
    with pytest.raises(BrokerError, match=r"no broker answers at 127\.0\.0\.1"):
        walks.publish(BrokerSettings("127.0.0.1", free_port(), tls=False))
