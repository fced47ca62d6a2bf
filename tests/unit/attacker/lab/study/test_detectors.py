"""What detectors caught, and how often honest users raised an alarm."""

from pathlib import Path

import pytest

from attacker.lab.proportion import proportion
from attacker.lab.study.page.detectors import FalseAlarms, caught, detector_alarms, plan_alarms
from attacker.lab.study.page.theft import offers
from attacker.lab.study.read import read_study
from tests.support import study_tables as made


def test_catches_are_counted_over_seeds(tmp_path: Path, rows: made.Rows) -> None:
    never = {"first_alarm_query": None, "stolen_at_alarm": None, "alarms": 0}
    detections = [
        made.detection("prada", "naive", 0, first_alarm_query=100, stolen_at_alarm=0.1),
        made.detection("prada", "naive", 1, first_alarm_query=300, stolen_at_alarm=0.2),
        made.detection("prada", "naive", 2, **never),
        made.detection("prada", "sybil", 0, **never),
        made.detection("seat", "naive", 0, **never | {"windows": 0}),
    ]
    tables = read_study(made.write_all(tmp_path, rows, detections=detections))
    assert tables.detections is not None
    naive, sybil, seat = caught(tables.detections)
    assert (naive.detector, naive.attacker) == ("prada", "naive")
    assert naive.windows == proportion(60, 120)
    assert (naive.alarmed, naive.campaigns) == (2, 3)
    assert naive.delay is not None
    assert naive.stolen is not None
    assert naive.delay.mean == 200
    assert naive.stolen.mean == pytest.approx(0.15)
    assert (sybil.delay, sybil.stolen) == (None, None)
    assert (sybil.alarmed, sybil.campaigns) == (0, 1)
    assert seat.windows is None


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
    assert FalseAlarms("plan", (), "user", counted).verdict(0.001) == verdict
