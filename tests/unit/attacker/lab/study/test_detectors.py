"""What detectors caught, and how often honest users raised an alarm."""

from pathlib import Path

import pytest

from attacker.lab.proportion import proportion
from attacker.lab.study.page.detectors import (
    Caught,
    Delay,
    FalseAlarms,
    caught,
    detector_alarms,
    plan_alarms,
)
from attacker.lab.study.page.theft import offers
from attacker.lab.study.read import read_study
from tests.support import study_tables as made

NEVER = {
    "first_alarm_query": None, "alarms": 0, "stolen_mark": None, "stolen_at_alarm": None,
    "next_mark": None, "stolen_at_next": None,
}  # fmt: skip
EARLY = {"first_alarm_query": 60, "stolen_mark": None, "stolen_at_alarm": None,
         "next_mark": 100, "stolen_at_next": 0.11}  # fmt: skip


def found_in(folder: Path, rows: made.Rows, detections: made.Rows) -> tuple[Caught, ...]:
    tables = read_study(made.write_all(folder, rows, detections=detections))
    assert tables.detections is not None
    return caught(tables.detections)


def test_catches_are_counted_over_seeds(tmp_path: Path, rows: made.Rows) -> None:
    detections = [
        made.detection("prada", "naive", 0, first_alarm_query=100),
        made.detection("prada", "naive", 1, first_alarm_query=300),
        made.detection("prada", "naive", 2, **NEVER),
        made.detection("prada", "sybil", 0, **NEVER),
        made.detection("seat", "naive", 0, **NEVER | {"windows": 0}),
    ]
    naive, sybil, seat = found_in(tmp_path, rows, detections)
    assert (naive.detector, naive.attacker) == ("prada", "naive")
    assert naive.windows == proportion(60, 120)
    assert (naive.alarmed, naive.campaigns) == (2, 3)
    assert naive.stolen == ((100, 0.11), (500, 0.31))
    assert naive.final == (2000, 0.6)
    assert (sybil.delay, sybil.stolen) == (None, None)
    assert (sybil.alarmed, sybil.campaigns) == (0, 1)
    assert seat.windows is None


@pytest.mark.parametrize(
    ("alarms", "median"),
    [
        ((100, 300, 900), 300),
        ((100, 300), 200),
        ((100, 300, None), 300),
        ((100, None, None), None),
        ((100, None), None),
    ],
)
def test_a_campaign_without_an_alarm_is_later_than_any(
    tmp_path: Path, rows: made.Rows, alarms: tuple[int | None, ...], median: float | None
) -> None:
    detections = [
        made.detection("prada", "naive", seed, first_alarm_query=alarm)
        for seed, alarm in enumerate(alarms)
    ]
    (naive,) = found_in(tmp_path, rows, detections)
    assert naive.delay == Delay(median, 100, max(alarm for alarm in alarms if alarm is not None))


def test_what_was_stolen_lies_within_the_marks_of_all_campaigns(
    tmp_path: Path, rows: made.Rows
) -> None:
    detections = [made.detection("prada", "naive", 0), made.detection("prada", "naive", 1, **EARLY)]
    (naive,) = found_in(tmp_path, rows, detections)
    assert naive.stolen == (None, (500, 0.31))


def test_false_alarms_go_by_plan_and_user(tmp_path: Path, rows: made.Rows) -> None:
    sold = {("guard", "soft"): {"detectors": [{"kind": "prada"}, {"kind": "seat"}]}}
    honest = made.honest("guard", "calm", windows=2000) + made.honest("none")
    honest += made.honest("guard", "noisy", windows=100, alarms=3)
    facts = made.manifest(sold)
    tables = read_study(made.write_all(tmp_path, rows, honest, facts=facts))
    calm, noisy, every = plan_alarms(tables.honest, offers(tables))
    assert (calm.watcher, calm.user, calm.detectors) == ("guard", "calm", ("prada", "seat"))
    assert calm.windows == proportion(0, 4000)
    assert noisy.windows == proportion(6, 200)
    assert (noisy.accounts, noisy.accused) == (2, 2)
    assert (every.accounts, every.accused) == (4, 2)
    assert (every.user, every.windows) == ("all users", proportion(6, 4200))
    assert [one.verdict(0.001) for one in (calm, noisy, every)] == [
        "kept",
        "broken",
        "not decided",
    ]


def test_honest_users_among_the_attackers_raise_false_alarms(
    tmp_path: Path, rows: made.Rows
) -> None:
    quiet = {"first_alarm_query": None, "alarms": 0, "windows": 500}
    detections = [
        made.detection("prada", "naive"),
        made.detection("prada", "honest:calm", **quiet),
        made.detection("prada", "honest:noisy", alarms=2, windows=100),
        made.detection("seat", "honest:calm", **quiet),
    ]
    tables = read_study(made.write_all(tmp_path, rows, detections=detections))
    assert tables.detections is not None
    assert [one.attacker for one in caught(tables.detections)] == ["naive"]
    found = detector_alarms(tables.detections)
    assert [(one.watcher, one.user, one.windows) for one in found] == [
        ("prada", "calm", proportion(0, 500)),
        ("prada", "noisy", proportion(2, 100)),
        ("prada", "all users", proportion(2, 600)),
        ("seat", "calm", proportion(0, 500)),
    ]


@pytest.mark.parametrize(
    ("alarms", "windows", "verdict"),
    [(0, 1000, "not decided"), (0, 4000, "kept"), (1, 1000, "not decided"), (9, 1000, "broken")],
)
def test_a_target_is_only_kept_beyond_doubt(alarms: int, windows: int, verdict: str) -> None:
    counted = proportion(alarms, windows)
    assert counted is not None
    assert FalseAlarms("plan", (), "user", 1, 0, counted).verdict(0.001) == verdict
