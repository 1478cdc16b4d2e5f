import json
import re

import pytest

from firmware.setting_rules import AT_START, RULES
from firmware.settings import SettingRefused, Settings
from retrostep.device_tree import device_root


@pytest.fixture
def path(tmp_path):
    return tmp_path / "settings.json"


def test_a_device_that_was_never_set_up_has_defaults(path):
    settings = Settings(str(path))
    assert settings["placement"] == "waist"
    assert settings["mounting"] is None
    assert not path.exists()


def test_a_change_outlives_a_restart(path):
    Settings(str(path)).change("motor_percent", 30)
    assert Settings(str(path))["motor_percent"] == 30


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("placement", "head", "one of waist, shoe, pocket"),
        ("motor_percent", 101, "0 to 100"),
        ("motor_percent", True, "0 to 100"),
        ("mounting", "xyz", "hex text"),
        ("log_bytes", 10, "65536"),
        ("colour", "red", "one of"),
        ("cues_off", 1, "true or false"),
        ("quiet_from", "24:00", "22:00"),
        ("quiet_to", "7:00", "22:00"),
        ("quiet_to", "07-00", "22:00"),
        ("quiet_to", "\u00b27:00", "22:00"),
        ("quiet_from", 2200, "22:00"),
        ("utc_offset_min", 841, "-720 to 840"),
        ("pace_per_min", 39, "40 to 200 or 0"),
        ("pace_per_min", False, "40 to 200 or 0"),
        ("low_battery_mv", 5000, "2500 to 4200"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected(path, name, value, expected):
    settings = Settings(str(path))
    with pytest.raises(SettingRefused, match=expected):
        settings.change(name, value)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"placement": 7, "motor_percent": -1}', "\x00\x01"])
def test_a_damaged_file_gives_defaults_says_why_and_stays(path, content, capsys):
    path.write_text(content)
    settings = Settings(str(path))
    assert settings["placement"] == "waist"
    assert settings["motor_percent"] == 80
    assert "settings:" in capsys.readouterr().out
    assert path.read_text() == content


def test_one_bad_value_does_not_cost_the_others(path, capsys):
    path.write_text(json.dumps({"placement": "shoe", "motor_percent": 400}))
    settings = Settings(str(path))
    assert (settings["placement"], settings["motor_percent"]) == ("shoe", 80)
    assert "0 to 100" in capsys.readouterr().out


def test_what_was_saved_is_read_back_without_a_word(path, capsys):
    Settings(str(path)).change("motor_percent", 50)
    assert Settings(str(path))["motor_percent"] == 50
    assert capsys.readouterr().out == ""


def rows_of_the_page():
    """{name: (values, default, meaning)} as docs/settings.md tells them, numbers without separators."""
    rows = {}
    for line in (device_root() / "docs" / "settings.md").read_text().splitlines():
        if line.startswith("| `"):
            names, *cells = (
                re.sub(r"(?<=\d),(?=\d)", "", cell.strip()) for cell in line.strip("|").split("|")
            )
            for name in re.findall(r"`(\w+)`", names):
                rows[name] = cells
    return rows


def test_the_page_about_settings_names_each_with_its_default_and_bounds():
    rows = rows_of_the_page()
    assert list(rows) == list(RULES)
    for name, (default, *rest) in RULES.items():
        values, told, meaning = rows[name]
        assert told == (default if isinstance(default, str) else json.dumps(default)), name
        if isinstance(rest[0], int):
            assert values.startswith(f"{rest[0]} to {rest[1]} "), name
            assert values.endswith("or 0") == (0 in rest[2:]), name
        assert ("after a restart" in meaning) == (name in AT_START), name
