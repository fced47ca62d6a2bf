"""What was stolen: the best attacker, and the price of parts of the victim."""

from pathlib import Path
from typing import Any

import pytest

from attacker.lab.study.page.reach import reach
from attacker.lab.study.page.theft import Offer, offers
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


def test_who_was_stopped_before_a_surrogate_counts_as_guessing(tmp_path: Path) -> None:
    rows = made.stop(made.cells("none", {500: 0.7}, jitter=0), 0, 2)
    (level,) = only(tmp_path, rows).levels
    assert level.by_seed == {0: made.CHANCE, 1: pytest.approx(0.7), 2: made.CHANCE}
    assert level.accuracy.mean == pytest.approx((2 * made.CHANCE + 0.7) / 3)
    assert level.fidelity.mean == pytest.approx((2 * made.CHANCE + 0.72) / 3)
    assert level.stopped == 2
    assert level.stopped_words == (
        "2 of 3 cells were stopped before a surrogate could be trained: counted as guessing"
    )
    all_stopped = only(tmp_path / "all", made.stop(rows, 1))
    assert all_stopped.levels[0].accuracy.mean == pytest.approx(made.CHANCE)
    found = reach(all_stopped, 0.4)
    assert found is not None
    assert (found.kind, found.queries) == ("beyond", 3)


def test_an_adaptive_attacker_who_shares_a_naive_ones_cells_answers_nothing(
    tmp_path: Path,
) -> None:
    offer = only(tmp_path, made.shared("guard", {500: 0.4, 2000: 0.5}))
    assert not offer.adaptive
    assert {level.same_as for level in offer.levels if level.adaptive} == {"naive"}
    best = offer.best(500)
    assert best is not None
    assert (best.attacker, best.kind) == ("naive", "naive")
    answer = made.cells("guard", {500: 0.3}, kinds=("guard",), attacker="other", adaptive=True)
    some = made.shared("guard", {500: 0.4, 2000: 0.5}) + answer
    assert not only(tmp_path / "some", some).adaptive
    all_ = some + [{**row, "budget": 2000, "identity": row["identity"] + "0"} for row in answer]
    assert only(tmp_path / "all", all_).adaptive


def test_one_shared_seed_is_enough_not_to_have_answered(tmp_path: Path) -> None:
    rows = made.both("guard", {500: 0.4}, {500: 0.3})
    assert only(tmp_path, rows).adaptive
    rows[-1]["identity"] = rows[2]["identity"]
    assert not only(tmp_path / "one", rows).adaptive


HARD, SOFT = {"label_mode": "hard"}, {"label_mode": "soft"}
ROUNDED = {"kind": "rounding", "decimals": 1}
WORK, MARK = {"kind": "proof_of_work"}, {"kind": "dawn"}


@pytest.mark.parametrize(
    ("document", "answerable"),
    [
        (HARD, False),
        (HARD | {"defences": [ROUNDED]}, False),
        (HARD | {"defences": [ROUNDED, {"kind": "mad", "epsilon": 1.0}]}, False),
        (HARD | {"defences": [{"kind": "mad", "variant": "extreme"}]}, True),
        (HARD | {"defences": [{"kind": "noise", "scale": 0.1}]}, True),
        (HARD | {"defences": [{"kind": "noise", "preserve_argmax": True}]}, False),
        (HARD | {"defences": [{"kind": "of_tomorrow"}]}, True),
        (HARD | {"defences": [ROUNDED, MARK]}, True),
        (HARD | {"defences": [ROUNDED], "detectors": [{"kind": "prada"}]}, True),
        (HARD | {"account_budget": 10}, True),
        (SOFT | {"defences": [ROUNDED]}, True),
        (SOFT | {"defences": [WORK]}, False),
        (SOFT | {"defences": [{"kind": "top_k", "k": 20}]}, False),
        (SOFT | {"defences": [{"kind": "top_k", "k": 19}]}, True),
        (SOFT | {"rate_per_s": 1.0}, False),
    ],
)
def test_there_is_something_to_answer_where_answers_or_policies_differ(
    tmp_path: Path, document: dict[str, Any], answerable: bool
) -> None:
    kinds = [one["kind"] for one in document.get("defences", ())]
    rows = made.cells("plan", {500: 0.5}, kinds=kinds)
    facts = made.manifest({("plan", "soft"): document})
    (offer,) = offers(read_study(made.write_all(tmp_path, rows, facts=facts)))
    assert offer.answerable is answerable
    (unknown,) = offers(read_study(made.write_all(tmp_path / "bare", rows)))
    assert unknown.answerable is bool(kinds)


def test_a_rate_is_a_defence_where_a_campaign_ended_before_it(tmp_path: Path) -> None:
    facts = made.manifest({("plan", "soft"): SOFT | {"rate_per_s": 1.0}})
    rows = [row | {"bought": 499} for row in made.cells("plan", {500: 0.5})]
    (offer,) = offers(read_study(made.write_all(tmp_path, rows, facts=facts)))
    assert offer.answerable


@pytest.mark.parametrize(
    ("kinds", "document", "defended"),
    [
        ((), {}, False),
        ((), {"detectors": []}, False),
        (("noise",), {}, True),
        ((), {"detectors": [{"kind": "prada"}]}, True),
        ((), {"account_budget": 5}, True),
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
