"""What was stolen: the best attacker, and the price of parts of the victim."""

from pathlib import Path

import pytest

from attacker.lab.study.page.theft import Offer, offers, reach
from attacker.lab.study.read import read_study
from tests.support import study_tables as made


def only(tmp_path: Path, rows: made.Rows) -> Offer:
    (offer,) = offers(read_study(made.write(tmp_path, rows)))
    return offer


def test_the_best_attacker_counts_whoever_it_is(tmp_path: Path) -> None:
    offer = only(tmp_path, made.both("guard", {500: 0.4, 2000: 0.5}, {500: 0.3, 2000: 0.6}))
    small, large = offer.best(500), offer.best(2000)
    assert small is not None
    assert large is not None
    assert (small.attacker, large.attacker) == ("naive", "adaptive")
    assert large.accuracy.mean == pytest.approx(0.6)
    # three seeds at 0.59, 0.60, 0.61: Student's t of two degrees of freedom is 4.303
    assert large.accuracy.high == pytest.approx(0.6 + 4.303 * 0.01 / 3**0.5, abs=1e-4)
    assert offer.best(777) is None


def test_an_interval_of_a_share_stays_one(tmp_path: Path) -> None:
    offer = only(tmp_path, made.cells("none", {500: 0.5}, jitter=0.45))
    best = offer.best(500)
    assert best is not None
    assert (best.accuracy.low, best.accuracy.high) == (0.0, 1.0)


def test_label_modes_are_offers_of_their_own(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.5}) + made.cells("none", {500: 0.4}, mode="hard")
    found = offers(read_study(made.write(tmp_path, rows)))
    assert [(o.plan, o.mode) for o in found] == [("none", "soft"), ("none", "hard")]


def test_cells_without_a_surrogate_are_left_out(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.5})
    for row in rows:
        row["accuracy"] = row["fidelity"] = None
    offer = only(tmp_path, rows)
    assert offer.levels == ()
    assert reach(offer, 0.4) is None


@pytest.mark.parametrize(
    ("kinds", "document", "defended"),
    [
        ((), {}, False),
        ((), {"detectors": []}, False),
        (("noise",), {}, True),
        ((), {"detectors": [{"kind": "prada"}]}, True),
        ((), {"leakage_price": {"measure": "entropy", "most": 4}}, True),
    ],
)
def test_what_counts_as_a_defence(
    tmp_path: Path, kinds: tuple[str, ...], document: dict[str, object], defended: bool
) -> None:
    rows = made.cells("plan", {500: 0.5}, kinds=kinds)
    facts = made.manifest({("plan", "soft"): document})
    (offer,) = offers(read_study(made.write_all(tmp_path, rows, facts=facts)))
    assert offer.defended is defended


def test_adaptive_means_at_every_budget(tmp_path: Path) -> None:
    rows = made.both("guard", {500: 0.4, 2000: 0.5}, {500: 0.3})
    assert not only(tmp_path, rows).adaptive
    rows += made.cells("guard", {2000: 0.3}, kinds=("guard",), attacker="adaptive", adaptive=True)
    assert only(tmp_path, rows).adaptive


@pytest.mark.parametrize(
    ("goal", "kind", "queries", "money"),
    [
        (0.2, "by", 500, 0.5),  # reached at the smallest budget: it may have been enough earlier
        (0.4, "by", 500, 0.5),
        (0.5, "at", 1000, 1.0),  # a third of the way from 0.4 at 500 to 0.7 at 2,000
        (0.69, "at", 1950, 1.95),
        (0.71, "beyond", 2000, 2.0),
    ],
)
def test_parts_of_the_victim_are_interpolated_only_between_budgets(
    tmp_path: Path, goal: float, kind: str, queries: float, money: float
) -> None:
    offer = only(tmp_path, made.cells("none", {500: 0.4, 2000: 0.7}, jitter=0))
    found = reach(offer, goal)
    assert found is not None
    assert found.kind == kind
    assert found.queries == pytest.approx(queries)
    assert found.money == pytest.approx(money)


def test_a_campaign_that_ended_early_is_priced_by_what_it_bought(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.4, 2000: 0.7}, jitter=0)
    for row in rows:
        if row["budget"] == 2000:
            row.update(bought=1100, spent_money=5.0)
    found = reach(only(tmp_path, rows), 0.9)
    assert found is not None
    assert (found.kind, found.queries, found.money) == ("beyond", 1100, 5.0)
