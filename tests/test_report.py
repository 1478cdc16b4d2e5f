"""The report: its numbers, its page in a real browser, its pictures, and a glance in the terminal."""

import json
import math
import time
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from browser import Browser, find_browser
from typer.testing import CliRunner

from firmware import steplog, steplog_decoder
from retrostep import cli, derived, diary
from retrostep.drawing import figure
from retrostep.history import ListedRecords, read_log
from retrostep.periods import BACKWARD, Period, days, merged, month_of, week_of
from retrostep.report import plots
from retrostep.report.adherence import adherence
from retrostep.report.page import MARGINS, as_page
from retrostep.report.pictures import as_pdf, as_png
from retrostep.report.summary import summarize
from retrostep.store import Store
from retrostep.stretches import stretches_of
from retrostep.training_plan import plans
from retrostep.wearers import add_wearer, assign, find_wearer

ZONE = ZoneInfo(diary.ZONE)
NOW_UTC_MS = round(datetime(2026, 11, 15, 21, tzinfo=ZONE).timestamp() * 1000)
WIDE, NARROW = 1200, 360


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """Path of the made-up wearer's database, derived."""
    path = tmp_path_factory.mktemp("year") / "year.sqlite3"
    with Store(path) as store:
        diary.fill(store)
        derived.derive(store)
    return path


@pytest.fixture(scope="module")
def summary(year):
    with Store(year) as store:
        robin = find_wearer(store, None)
        return summarize(store, robin, ZONE, NOW_UTC_MS, plans(store, robin))


def test_report_of_a_year_counts_every_step_that_the_log_holds(year, summary):
    counted = dict.fromkeys(steplog.DIRECTIONS, 0)
    with Store(year) as store:
        for _, kind, payload in store.records(1):
            record = steplog_decoder.decode(kind, payload)
            for step in record.get("steps", ()) if kind == steplog.STEPS else ():
                counted[step["direction"]] += 1
    assert summary.whole.counts == counted
    for periods in (summary.weeks, summary.months):
        assert sum(one.steps for one in periods) + summary.undated.steps == sum(counted.values())


def test_report_of_a_year_shows_the_wearer_that_was_made_up(summary):
    first, last = summary.months[1], summary.months[-2]
    assert last.minutes["backward"] > 2 * first.minutes["backward"]
    assert last.cadence("backward") > first.cadence("backward") + 8
    assert last.stability("backward") > first.stability("backward") + 15
    assert summary.tests[-1].seconds < summary.tests[0].seconds - 1
    assert sum(last.events.values()) < sum(first.events.values())
    assert 0.01 < summary.whole.unknown_share < 0.05
    assert summary.whole.counts["sideways"] > 0
    assert summary.undated.steps > 0
    # Two weeks or so without a step, which are there all the same.
    assert any(not one.steps for one in summary.weeks)


def test_report_is_the_same_from_the_same_seed(tmp_path):
    assert diary.year_of_records(3) == diary.year_of_records(3)
    assert diary.year_of_records(3) != diary.year_of_records(4)


def test_report_minutes_cadence_and_stability_are_those_of_the_steps():
    (day,) = days(stretches_of(read_log("abc", 1, ListedRecords(_walked())).blocks), timezone.utc)
    # 10 forward, pause, 20 backward of which one unknown in the middle, 0.5 s apart.
    assert day.counts == {"forward": 10, "backward": 20, "sideways": 0, "unknown": 1}
    assert day.bouts == 2
    assert day.minutes["backward"] == pytest.approx(19 * 0.5 / 60)
    assert day.cadence("backward") == pytest.approx(120)
    assert day.stability("backward") == pytest.approx(50)
    assert day.stability("forward") is None
    # The unknown step does not end the longest backward bout.
    assert (day.longest_back_ms, day.longest_back_steps) == (10_000, 20)
    assert day.unknown_share == pytest.approx(1 / 31)


def test_report_the_longest_bout_does_not_join_the_walks_of_two_devices():
    whole = stretches_of(read_log("abc", 1, ListedRecords(_walked())).blocks)
    # Another device came in the middle of its walk: what is there of it does not begin one.
    other = whole[whole["direction"] == BACKWARD].copy()
    other["boot"] += 1
    other["start_uptime_ms"] += 60_000
    other["end_uptime_ms"] += 60_000
    (day,) = days(np.concatenate([whole, other]), timezone.utc)
    assert day.longest_back_steps == 20


def test_report_weeks_begin_on_monday_and_months_on_the_first_without_gaps():
    walked = [
        Period(day, day, days_walked=1) for day in (date(2026, 1, 4), date(2026, 1, 5), date(2026, 3, 31))
    ]
    weeks = merged(walked, week_of)
    assert [(one.first, one.days_walked) for one in weeks[:2]] == [
        (date(2025, 12, 29), 1),
        (date(2026, 1, 5), 1),
    ]
    assert [one.first.weekday() for one in weeks] == [0] * 14
    assert [(one.first, one.last) for one in merged(walked, month_of)] == [
        (date(2026, 1, 1), date(2026, 1, 31)),
        (date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 3, 1), date(2026, 3, 31)),
    ]


def test_report_streak_is_ended_by_a_missed_day_not_by_a_day_off_nor_by_today():
    monday = date(2026, 6, 1)
    done = {0: 10, 1: 10, 2: 9.9, 3: 10, 4: 12, 5: 0, 6: 10}
    walked = []
    for offset, minutes in done.items():
        one = Period(monday + timedelta(days=offset))
        one.walk_ms["backward"] = round(minutes * 60_000)
        walked.append(one)
    wanted = {5: 0}
    found = adherence(
        walked, lambda day: wanted.get((day - monday).days, 10), monday, monday + timedelta(days=7)
    )
    assert [one.kept for one in found.days] == [True, True, False, True, True, False, True, False]
    assert found.streaks(today=monday + timedelta(days=7)) == (3, 3)
    assert found.streaks(today=monday + timedelta(days=8)) == (0, 3)
    assert found.between(monday, monday + timedelta(days=6)) == (5, 6)


def test_report_is_of_the_wearer_who_wore_the_device_then(year, tmp_path):
    cut = round(datetime(2026, 5, 1, tzinfo=ZONE).timestamp() * 1000)
    with Store(year) as store:
        store.backup(tmp_path / "two.sqlite3")
    with Store(tmp_path / "two.sqlite3") as store:
        add_wearer(store, "Ben", diary.ZONE)
        assign(store, "Ben", "demo", cut)
        robin, ben = (
            summarize(store, find_wearer(store, name), ZONE, NOW_UTC_MS) for name in (diary.WEARER, "Ben")
        )
        both = summarize(store, None, ZONE, NOW_UTC_MS)
    assert robin.last < date(2026, 5, 1) <= ben.first
    assert robin.whole.steps + ben.whole.steps == both.whole.steps
    assert len(robin.tests) + len(ben.tests) == len(both.tests)
    # The boot that lost its clock lies between two of Ben's.
    assert not robin.undated
    assert ben.undated.steps == both.undated.steps


def _walked():
    """A boot with ten steps forward, a pause, and twenty backward, one more of unknown direction among them."""
    chunk = steplog.StepChunk(1, 1)
    for step in range(10):
        chunk.add_step(step * 500, 0, 90, None)
    for step in range(21):
        chunk.add_step(20_000 + step * 500, 3 if step == 10 else 1, 90, 50)
    return [
        (1, steplog.BOOT, steplog.encode_boot(0, 0, 0, "0.1.0", "m", "b")),
        (2, steplog.ANCHOR, steplog.encode_anchor(1, 0, 1_790_000_000_000, 5, 0)),
        (3, steplog.STEPS, chunk.payload()),
    ]


def run(*args):
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def test_report_page_picture_pdf_and_json_are_written(year, tmp_path):
    page, png, pdf = (tmp_path / name for name in ("r.html", "r.png", "r.pdf"))
    done = run("report", page, "--db", year, "--png", png, "--pdf", pdf)
    assert done.exit_code == 0, done.output
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    found = json.loads(run("report", "--db", year, "--json").stdout)
    assert len(found["months"]) == 13
    assert found["wearer"] == diary.WEARER
    assert found["days"][0]["first"] == "2025-11-17"
    # Six days a week were asked for, and kept more often than not.
    asked = found["plan"]["days"]
    assert {date.fromisoformat(day["day"]).weekday() for day in asked} == {0, 1, 2, 3, 4, 5}
    assert 0.5 < sum(day["kept"] for day in asked) / len(asked) < 0.9
    assert found["plan"]["longest_streak_days"] >= 5
    may = json.loads(
        run("report", "--db", year, "--json", "--since", "2026-05-01", "--until", "2026-05-31").stdout
    )
    assert may["total"]["steps"] == next(
        one["steps"] for one in found["months"] if one["first"] == "2026-05-01"
    )


def test_report_of_a_span_that_is_over_counts_no_day_outside_of_it_as_missed(year, tmp_path):
    span = ("--since", "2026-05-01", "--until", "2026-05-31")
    may = json.loads(run("report", "--db", year, "--json", *span).stdout)
    whole = json.loads(run("report", "--db", year, "--json").stdout)
    days = [day for day in whole["plan"]["days"] if "2026-05-01" <= day["day"] <= "2026-05-31"]
    assert may["plan"]["days"] == days
    assert days[0]["day"] == "2026-05-01"
    page = tmp_path / "may.html"
    assert run("report", page, "--db", year, *span).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "7 days to 2026-05-31" in text
    assert "last 7 days" not in text
    minutes = sum(
        day["minutes"]["backward"] for day in whole["days"] if "2026-05-25" <= day["first"] <= "2026-05-31"
    )
    assert f"{minutes:.0f} min" in text


def test_report_refuses_days_that_no_calendar_reckons_with(year):
    for span in (
        ("--until", "0001-01-03"),
        ("--since", "9999-12-31"),
        ("--since", "2026-06-02", "--until", "2026-06-01"),
    ):
        assert run("report", "--db", year, "--json", *span).exit_code == 2


def test_report_without_a_name_for_the_file_lands_in_the_folder_and_says_so(year, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("report", "--db", year)
    assert "retrostep-report.html" in done.stdout
    assert (tmp_path / "retrostep-report.html").exists()


def test_report_that_cannot_be_written_or_has_no_wearer_is_an_error_that_says_so(year, tmp_path):
    done = run("report", tmp_path / "no" / "folder.html", "--db", year)
    assert done.exit_code == 1
    assert "can't be written" in str(done.exception)
    done = run("report", "--db", year, "--wearer", "Eve")
    assert diary.WEARER in str(done.exception)
    assert run("report", "--db", year, "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize("command", ["today", "week"])
def test_report_at_a_glance_tells_the_numbers_of_the_page(command, tmp_path):
    """Made up to today, so that there is something to see."""
    path = tmp_path / "now.sqlite3"
    run("db", "demo", path)
    found = json.loads(run(command, "--db", path, "--json").stdout)
    total = found["total"] if command == "week" else found
    page = json.loads(run("report", "--db", path, "--json").stdout)
    since = str(date.fromisoformat(page["today"]) - timedelta(days=6 if command == "week" else 0))
    steps = sum(day["steps"]["backward"] for day in page["days"] if day["first"] >= since)
    assert total["steps"]["backward"] == steps
    text = run(command, "--db", path).stdout
    assert "last sync" in text
    if steps:
        assert f"{steps:,} steps" in text


def test_report_of_an_empty_database_says_what_to_do(tmp_path):
    with Store(tmp_path / "db.sqlite3"):
        pass
    done = run("report", tmp_path / "r.html", "--db", tmp_path / "db.sqlite3")
    assert done.exit_code == 0
    assert "sync" in done.stdout
    assert "retrostep sync" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert run("today", "--db", tmp_path / "db.sqlite3").exit_code == 0
    assert run("week", "--db", tmp_path / "db.sqlite3").exit_code == 0


def test_report_of_a_year_is_small_and_quick(year, tmp_path):
    with Store(year) as store:
        derived.forget(store)
    started = time.process_time()
    assert run("report", tmp_path / "r.html", "--db", year).exit_code == 0
    # Processor time: this computer may be busy with other things.
    assert time.process_time() - started < 5
    assert (tmp_path / "r.html").stat().st_size < 3e6


def test_report_promises_nothing_and_multiplies_nothing(summary):
    html = as_page(summary)
    told = " ".join(html.split()).lower()
    for word in ("prevent", "safe to", "risk of fall", "fall risk", "diagnosed", "healthy", "cure", "treat"):
        assert word not in told, word
    assert "unproven" in told
    assert told.count("1,000 forward") == 1


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium here: on Debian, apt-get install chromium")
    with Browser(executable, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(summary, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(as_page(summary), encoding="utf-8")
    return path.as_uri()


def opened(browser, page, **view):
    browser.requests.clear()
    browser.console.clear()
    browser.show(**view)
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.services
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_report_page_logs_no_error_and_asks_for_nothing_but_itself(browser, page, width):
    opened(browser, page, width=width)
    assert browser.console == []
    assert set(browser.requests) <= {page, "data:,"}


@pytest.mark.services
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_report_page_never_scrolls_sideways(browser, page, width):
    opened(browser, page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    # What is wider scrolls within itself, by keyboard, too.
    for wide in browser.evaluate(
        "[...document.querySelectorAll('.wide')].map(one => [one.tabIndex, one.getAttribute('aria-label')])"
    ):
        assert wide[0] == 0
        assert wide[1]


@pytest.mark.services
@pytest.mark.parametrize(("width", "hints"), [(1280, 0), (1000, 3), (NARROW, 4)])
def test_report_tables_fit_a_laptop_and_say_so_where_they_do_not(browser, page, width, hints):
    opened(browser, page, width=width)
    cut = browser.evaluate(
        "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).length"
    )
    shown = browser.evaluate(
        "[...document.querySelectorAll('.sideways')].filter(one => one.offsetHeight > 0).length"
    )
    assert (cut, shown) == (hints, hints)


@pytest.mark.services
def test_report_page_can_be_read_aloud(browser, page):
    opened(browser, page)
    outline = browser.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(one => [+one.tagName[1], one.textContent.trim()])"
    )
    levels = [level for level, _ in outline]
    assert levels.count(1) == 1
    assert all(text for _, text in outline)
    assert max(np.diff(levels)) <= 1
    landmarks = browser.evaluate(
        "['header','nav','main','footer'].map(name => document.querySelectorAll('body > ' + name).length)"
    )
    assert landmarks == [1, 1, 1, 1]
    pictures = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(one => [one.getAttribute('role'), one.getAttribute('aria-label')])"
    )
    assert len(pictures) == 10
    assert all(role == "img" and len(alt) > 40 for role, alt in pictures)
    assert browser.evaluate(
        "[...document.querySelectorAll('section')].every(one => one.ariaLabelledByElements ? "
        "one.ariaLabelledByElements.length == 1 : one.getAttribute('aria-labelledby'))"
    )
    assert browser.evaluate("document.documentElement.lang") == "en"
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    targets = browser.evaluate("[...document.querySelectorAll('a')].map(one => one.hash.slice(1))")
    assert set(targets) <= set(ids)
    headings = browser.evaluate("[...document.querySelectorAll('th')].every(one => one.scope)")
    assert headings


def luminance(rgb):
    """Relative luminance of an sRGB colour, WCAG 2.2."""
    channels = [value / 255 for value in rgb]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Contrast ratio of two colours, WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# Every element that has text of its own: its text, its colour, the background behind it.
TEXTS = """
(() => {
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const found = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some(child => child.nodeType == 3 && child.textContent.trim());
    if (!own || ['STYLE', 'SCRIPT', 'style'].includes(one.tagName)) continue;
    const style = getComputedStyle(one);
    let behind = one, back = [0, 0, 0, 0];
    while (behind && (back.length == 4 && back[3] == 0)) {
      back = numbers(getComputedStyle(behind).backgroundColor);
      behind = behind.parentElement;
    }
    const colour = one instanceof SVGElement ? style.fill : style.color;
    found.push([one.textContent.trim().slice(0, 40), numbers(colour).slice(0, 3), back.slice(0, 3)]);
  }
  return found;
})()
"""
# What is drawn in the plots: its colour, against the card.
MARKS = """
[...new Set([...document.querySelectorAll('figure svg path, figure svg use')].flatMap(one => {
  const style = getComputedStyle(one);
  return ['fill', 'stroke'].filter(name => one.style[name]).map(name => style[name]).filter(
    colour => colour.startsWith('rgb('));
}))].map(colour => colour.match(/[\\d.]+/g).map(Number))
"""


@pytest.mark.services
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_page_has_contrast_enough_for_text_and_plots(browser, page, scheme):
    opened(browser, page, scheme=scheme)
    texts = browser.evaluate(TEXTS)
    assert len(texts) > 1000
    dark = [luminance(back) < 0.1 for _, _, back in texts]
    assert all(dark) if scheme == "dark" else not any(dark)
    faint = [(text, contrast(colour, back)) for text, colour, back in texts if contrast(colour, back) < 4.5]
    assert faint == []
    card = next(back for text, _, back in texts if text == "backward")
    marks = browser.evaluate(MARKS)
    assert len(marks) >= 5
    assert min(contrast(colour, card) for colour in marks) >= 3


@pytest.mark.services
def test_report_page_prints_dark_on_white_in_a_few_sheets(browser, page):
    opened(browser, page, scheme="dark")
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
    assert 2 <= pdf.count(b"/Type /Page\n") <= 6
    browser.show(scheme="dark", media="print")
    colours = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


@pytest.mark.services
def test_report_colours_differ_for_the_colour_blind(browser, page):
    """Directions differ in lightness or hue as a person without green cones sees them, and in hatching anyway."""
    opened(browser, page)
    hatches = browser.evaluate("document.querySelectorAll('#minutes-h, figure svg pattern').length")
    assert hatches >= 3
    colours = browser.evaluate(
        "['backward', 'forward', 'sideways', 'unknown'].map(name => "
        "getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())"
    )
    seen = [deuteranope(tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))) for colour in colours]
    for index, one in enumerate(seen):
        for other in seen[index + 1 :]:
            assert math.dist(one, other) > 25


def deuteranope(rgb):
    """About what is seen without green cones (Vienot, Brettel and Mollon 1999, linear RGB)."""
    red, green, blue = ((value / 255) ** 2.2 for value in rgb)
    mixed = 0.29275 * red + 0.70725 * green
    other = -0.02234 * red + 0.02234 * green + blue
    return tuple(255 * max(value, 0) ** (1 / 2.2) for value in (mixed, mixed, other))


@pytest.mark.parametrize("length", [28, 90, 366])
def test_report_cuts_no_date_off_at_the_edge_of_a_plot(length):
    for offset in range(0, 35, 3):
        last = date(2026, 11, 1) + timedelta(days=offset)
        with figure(plots.WIDTH_IN, plots.HEIGHT_IN) as made:
            axes = made.subplots()
            made.subplots_adjust(**MARGINS)
            plots._days_axis(axes, last - timedelta(days=length - 1), last)
            labels = [label for label in axes.get_xticklabels() if label.get_text()]
            right = max(label.get_window_extent().x1 for label in labels)
            assert right <= made.bbox.x1, last
            assert len(labels) >= 3


def test_report_pictures_show_every_plot(summary):
    picture = as_png(summary)
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    # Two plots a row, five rows, and the numbers above.
    assert height > 1.7 * width
    assert as_pdf(summary).count(b"/Type /Page ") == 2
