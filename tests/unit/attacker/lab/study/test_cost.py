"""What honest users pay, the limits of it, and the front."""

from pathlib import Path
from typing import Any

import pytest

from attacker.lab.study.page.cost import HonestCost, front, honest_cost
from attacker.lab.study.page.theft import offers
from attacker.lab.study.read import read_study
from tests.support import study_tables as made

SOLD = "study-guard-soft-12345678"


def cost(tmp_path: Path, rows: made.Rows) -> HonestCost | None:
    cells = made.both("guard", {500: 0.1}, {500: 0.2})
    facts = made.manifest({("guard", "soft"): {}})
    tables = read_study(made.write_all(tmp_path, cells, rows, facts=facts))
    (offer,) = offers(tables)
    return honest_cost(offer, tables.honest)


def test_the_user_who_pays_most_counts(tmp_path: Path) -> None:
    rows = made.honest("guard", "calm", l1=0.1) + made.honest(
        "guard", "noisy", accuracy=0.87, ece=0.08, l1=0.05, p50_ms=6.0, refused=10
    )
    found = cost(tmp_path, rows)
    assert found is not None
    assert found.lost is not None
    assert found.ece is not None
    assert found.l1 is not None
    assert found.lost.mean == pytest.approx(0.03)
    assert found.ece.mean == pytest.approx(0.05)
    assert found.l1.mean == pytest.approx(0.1)
    assert found.added_p50_ms is not None
    assert found.added_p50_ms.mean == pytest.approx(2.0)
    assert found.refused == pytest.approx(0.05)
    assert found.alarms is None  # nothing watched


@pytest.mark.parametrize("plan", ["guard", SOLD])
def test_a_plan_goes_by_its_id_or_the_name_it_is_sold_under(tmp_path: Path, plan: str) -> None:
    assert cost(tmp_path, made.honest(plan)) is not None


def test_a_latency_that_differs_from_user_to_user_breaks_no_limit(tmp_path: Path) -> None:
    noisy = made.honest("guard", seeds=3)
    for row, added in zip(noisy, (-4.0, 2.0, 26.0), strict=True):  # 8 ms, and 30 either way
        row["p50_ms"] += added
    found = cost(tmp_path, noisy)
    assert found is not None
    assert found.added_p50_ms is not None
    assert found.added_p50_ms.mean == pytest.approx(8.0)
    assert found.over() == []


def test_what_noise_or_want_of_traffic_leaves_open_is_said(tmp_path: Path) -> None:
    noisy = made.honest("guard", seeds=3, windows=48, alarms=0)
    for row, added in zip(noisy, (-4.0, 2.0, 26.0), strict=True):
        row["p50_ms"] += added
    found = cost(tmp_path, noisy)
    assert found is not None
    assert found.over() == []
    alarms, latency = found.unshown()
    assert alarms == ("that at most 0.1 % of windows raise an alarm (0.00 to 2.53; 144 windows)")
    assert latency.startswith("that answers take at most 5 ms longer (-")


@pytest.mark.parametrize("added", [0.1, 41.6])
def test_a_latency_of_one_seed_is_neither_broken_nor_shown(tmp_path: Path, added: float) -> None:
    found = cost(tmp_path, made.honest("guard", seeds=1, p50_ms=4.0 + added))
    assert found is not None
    assert found.over() == []
    assert found.unshown() == [
        f"that answers take at most 5 ms longer (+{added} with one seed, which has no interval)"
    ]
    again = cost(tmp_path, made.honest("guard", seeds=2, p50_ms=4.0 + added))
    assert again is not None
    assert (len(again.over()), again.unshown()) == (int(added > 5), [])


@pytest.mark.parametrize(
    ("seeds", "change", "sure"),
    [
        (1, {}, False),
        (1, {"accuracy": made.VICTIM - 0.1}, False),
        (2, {"accuracy": made.VICTIM - 0.1}, True),
        (1, {"p50_ms": 50.0}, False),
        (2, {"p50_ms": 50.0}, True),
        (1, {"refused": 40}, True),
        (1, {"windows": 1000, "alarms": 9}, True),
    ],
)
def test_what_is_broken_beyond_doubt(
    tmp_path: Path, seeds: int, change: dict[str, Any], sure: bool
) -> None:
    found = cost(tmp_path, made.honest("guard", seeds=seeds, **change))
    assert found is not None
    assert found.surely_over() is sure


def test_enough_quiet_traffic_leaves_nothing_open(tmp_path: Path) -> None:
    found = cost(tmp_path, made.honest("guard", seeds=3, windows=4000, alarms=0))
    assert found is not None
    assert (found.over(), found.unshown()) == ([], [])
    surely = cost(tmp_path, made.honest("guard", seeds=3, windows=1000, alarms=9))
    assert surely is not None
    assert len(surely.over()) == 1
    assert surely.unshown() == [], "what is broken is not open"


def test_other_plans_say_nothing_of_it(tmp_path: Path) -> None:
    assert cost(tmp_path, made.honest("none")) is None
    assert cost(tmp_path, []) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"accuracy": made.VICTIM - 0.009}, None),
        ({"accuracy": made.VICTIM - 0.02}, "lose 2.0 points of accuracy (limit 1.0)"),
        ({"accuracy": None, "ece": None, "l1": None, "p50_ms": None}, None),
        ({"refused": 2}, None),
        ({"refused": 40}, "20.0 % of their clips are refused (limit 1.0 %)"),
        ({"p50_ms": 12.0}, "8.0 ms longer (limit 5)"),
        ({"windows": 1000, "alarms": 0}, None),
        ({"windows": 1000, "alarms": 2}, None),  # 0.2 %, but 0.1 % is not excluded
        ({"windows": 1000, "alarms": 9}, "0.90 % of their windows raise an alarm (limit 0.1 %)"),
    ],
)
def test_limits(tmp_path: Path, change: dict[str, object], said: str | None) -> None:
    found = cost(tmp_path, made.honest("guard", **change))
    assert found is not None
    over = found.over()
    assert over == [] if said is None else said in over[0]


def test_the_front_holds_what_nothing_is_better_than() -> None:
    points = [(0.0, 0.8), (0.1, 0.5), (0.1, 0.6), (0.3, 0.5), (0.4, 0.2), (0.1, 0.5)]
    assert front(points) == [True, True, False, False, True, True]
    assert front([]) == []
    assert front([(1.0, 1.0)]) == [True]
