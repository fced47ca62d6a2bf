"""The recommendation, on studies whose right conclusion is known."""

from pathlib import Path

import pytest

from attacker.lab.study.page import sections, stolen, words
from attacker.lab.study.page.choice import Choice
from attacker.lab.study.read import read_study
from tests.support import study_tables as made
from tests.support.study_tables import HIGH, LOW


def decide(tmp_path: Path, rows: made.Rows, honest: made.Rows | None = None) -> Choice:
    """The only label mode's choice; honest users lose nothing unless given."""
    free = [row for plan in {row["plan"] for row in rows} for row in made.honest(plan)]
    given = free if honest is None else honest
    found = sections.measure(read_study(made.write_all(tmp_path, rows, given)))
    (choice,) = found.choices
    return choice


def text(choice: Choice) -> str:
    return " ".join([words.headline([choice], {}), *words.advice(choice, {}).lines])


def test_a_better_plan_is_chosen(tmp_path: Path, rows: made.Rows) -> None:
    choice = decide(tmp_path, rows)
    assert choice.chosen is not None
    assert choice.chosen.plan == "guard"
    said = text(choice)
    assert "Sell soft answers under guard." in said
    assert "At 2,000 clips guard loses less than none" in said.replace("\N{NO-BREAK SPACE}", " ")
    assert "(adaptive, adaptive) reaches 35.0" in said


def test_what_was_bought_is_said_where_it_is_less_than_the_budget(
    tmp_path: Path, rows: made.Rows
) -> None:
    whole = text(decide(tmp_path / "whole", rows)).replace("\N{NO-BREAK SPACE}", " ")
    assert "guard: for 2,000 clips the best attacker (adaptive, adaptive) reaches 35.0 %" in whole
    assert "bought)" not in whole
    for row in rows:
        short = row["plan"] == "guard" and row["budget"] == 2000
        row["bought"] = 699 + row["seed"] if short else row["bought"]
    said = text(decide(tmp_path / "short", rows)).replace("\N{NO-BREAK SPACE}", " ")
    assert "guard: with a budget of 2,000 clips (700 bought) the best attacker (adap" in said
    assert "under none (2,000 bought)." in said


def test_a_naive_attacker_alone_does_not_make_a_plan_better(tmp_path: Path) -> None:
    naive_only = made.cells("guard", LOW, kinds=("guard",))
    choice = decide(tmp_path, made.cells("none", HIGH) + naive_only)
    assert choice.verdict == "not decided"
    assert [(o.plan, why) for o, why in choice.refused] == [
        ("guard", "no attacker who answers it was measured at every budget")
    ]
    said = text(choice)
    assert "Only none could be considered" in said
    assert "guard was not considered: no attacker who answers it" in said


def test_an_adaptive_attacker_who_does_the_same_has_not_answered(tmp_path: Path) -> None:
    rows = made.cells("none", HIGH) + made.shared("gradient_redirection", LOW)
    choice = decide(tmp_path, rows)
    assert choice.verdict == "not decided"
    assert [offer.plan for offer, _ in choice.refused] == ["gradient_redirection"]
    assert "gradient_redirection was not considered: no attacker who answers it" in text(choice)


@pytest.mark.parametrize(("mode", "considered"), [("hard", True), ("soft", False)])
def test_where_nothing_differs_in_what_is_told_nothing_has_to_be_answered(
    tmp_path: Path, mode: str, considered: bool
) -> None:
    chain = [{"kind": "rounding", "decimals": 1}]
    facts = made.manifest({("rounding", mode): {"label_mode": mode, "defences": chain}})
    rows = made.cells("none", HIGH, mode=mode) + made.shared("rounding", HIGH, mode=mode)
    free = made.honest("none") + made.honest("rounding")
    found = sections.measure(read_study(made.write_all(tmp_path, rows, free, facts=facts)))
    assert ("rounding" in {offer.plan for offer in found.choices[0].left}) is considered
    (note, *_) = stolen.theft(found).notes
    assert ("nothing that an adaptive attacker could answer" in note) is considered


def test_a_plan_that_stops_every_thief_is_the_best(tmp_path: Path, rows: made.Rows) -> None:
    rows += made.stop(made.both("fortress", HIGH, HIGH), 0, 1, 2)
    choice = decide(tmp_path, rows)
    assert choice.chosen is not None
    assert choice.chosen.plan == "fortress"
    said = text(choice)
    assert "reaches 5.0" in said
    assert "naive: 3 of 3 cells were stopped before a surrogate could be trained: counted" in said


def test_the_survivor_of_three_does_not_speak_for_those_who_were_stopped(tmp_path: Path) -> None:
    wall = made.stop(made.both("wall", {500: 0.7}, {500: 0.7}, jitter=0), 1, 2)
    choice = decide(tmp_path, made.cells("none", {500: 0.5}) + wall)
    assert choice.leader is not None
    assert choice.leader.plan == "wall"
    best = choice.leader.best(500)
    assert best is not None
    assert best.accuracy.mean == pytest.approx((0.7 + 2 * made.CHANCE) / 3)


def test_an_adaptive_attacker_undoes_a_plan_that_looked_better(tmp_path: Path) -> None:
    choice = decide(tmp_path, made.cells("none", HIGH) + made.both("guard", LOW, HIGH))
    assert choice.verdict == "not decided"
    assert {offer.plan for offer in choice.left} == {"none", "guard"}
    assert "Nothing tells none and guard apart" in text(choice)


def test_seeds_that_differ_alike_under_both_plans_decide(tmp_path: Path) -> None:
    rows = made.cells("none", HIGH, jitter=0.4)
    rows += made.both("guard", LOW, {b: HIGH[b] - 0.02 for b in HIGH}, jitter=0.4, alike=True)
    for row in rows:  # the differences are 1.9, 2 and 2.1 points; each plan's interval is 99 wide
        row["accuracy"] += 0.001 * row["seed"] * (row["plan"] == "none")
    choice = decide(tmp_path, rows)
    assert choice.chosen is not None
    assert choice.chosen.plan == "guard"
    apart = [{**row, "seed": row["seed"] + 10 * (row["plan"] == "none")} for row in rows]
    assert decide(tmp_path / "apart", apart).chosen is None  # no seed is that of both


@pytest.mark.parametrize("seeds", [1, 2])
def test_differences_that_may_be_nothing_decide_nothing(tmp_path: Path, seeds: int) -> None:
    rows = made.cells("none", HIGH, seeds=seeds, jitter=0.1)
    choice = decide(tmp_path, rows + made.both("guard", LOW, LOW, seeds=seeds, jitter=0.1))
    assert choice.chosen is None
    assert choice.leader is not None
    assert choice.leader.plan == "guard"
    said = text(choice)
    assert "Not decided" in said
    assert "On averages alone, which decide nothing: guard" in said
    assert "fewer than three seeds" in said


def test_plans_that_win_at_different_budgets_leave_none(tmp_path: Path) -> None:
    early = made.both("early", {500: 0.1, 2000: 0.8}, {500: 0.1, 2000: 0.8})
    late = made.both("late", {500: 0.5, 2000: 0.2}, {500: 0.5, 2000: 0.2})
    choice = decide(tmp_path, early + late)
    assert choice.left == ()
    assert choice.verdict == "not decided"
    assert "Another plan is best at each budget" in text(choice)


def test_a_plan_is_not_beaten_where_it_was_not_measured(tmp_path: Path) -> None:
    rows = made.cells("none", HIGH) + made.both("guard", {500: 0.5}, {500: 0.5})
    choice = decide(tmp_path, rows)
    assert {offer.plan for offer in choice.left} == {"none", "guard"}


def test_a_plan_that_costs_too_much_is_out_however_safe(tmp_path: Path, rows: made.Rows) -> None:
    rows += made.both("fortress", {500: 0.06, 2000: 0.07}, {500: 0.06, 2000: 0.07})
    honest = made.honest("none") + made.honest("guard")
    honest += made.honest("fortress", accuracy=made.VICTIM - 0.1)
    choice = decide(tmp_path, rows, honest)
    assert choice.chosen is not None
    assert choice.chosen.plan == "guard"
    assert "fortress was not considered: honest users lose 10.0 points" in text(choice)


def test_when_all_others_cost_too_much_the_one_left_is_sold(
    tmp_path: Path, rows: made.Rows
) -> None:
    honest = made.honest("none") + made.honest("guard", accuracy=0.5)
    choice = decide(tmp_path, rows, honest)
    assert choice.chosen is not None
    assert choice.chosen.plan == "none"
    said = text(choice)
    assert "every other plan costs honest users more" in said
    assert "the plan without a defence" in said


def test_a_latency_of_one_seed_does_not_sell_the_plan_without_a_defence(
    tmp_path: Path, rows: made.Rows
) -> None:
    slow = made.honest("none", seeds=1) + made.honest("guard", seeds=1, p50_ms=45.6)
    choice = decide(tmp_path, rows, slow)
    assert choice.refused == ()
    assert choice.chosen is not None
    assert choice.chosen.plan == "guard"  # it is shown to lose less, and no limit to be broken
    free = decide(
        tmp_path / "alike", made.cells("none", HIGH) + made.both("guard", LOW, HIGH), slow
    )
    assert free.chosen is None


def test_a_mean_of_one_seed_does_not_sell_the_plan_without_a_defence(
    tmp_path: Path, rows: made.Rows
) -> None:
    honest = made.honest("none", seeds=1) + made.honest("guard", seeds=1, accuracy=0.5)
    choice = decide(tmp_path, rows, honest)
    assert choice.verdict == "not decided"
    assert [offer.plan for offer in choice.left] == ["none"]
    assert "honest traffic with more seeds" in text(choice)
    defended = made.both("guard", LOW, LOW) + made.both("moat", LOW, LOW)
    found = decide(tmp_path / "moat", defended, [*honest, *made.honest("moat")])
    assert found.chosen is not None
    assert found.chosen.plan == "moat"  # a plan with a defence is not held up


def test_without_honest_traffic_nothing_is_recommended(tmp_path: Path, rows: made.Rows) -> None:
    choice = decide(tmp_path, rows, [])
    assert choice.verdict == "not decided"
    assert choice.left == ()
    said = text(choice)
    assert "No plan can be recommended" in said
    assert "On averages alone, guard" in said
    assert "what it costs honest users was not measured" in said


def test_a_single_plan_has_no_rival(tmp_path: Path) -> None:
    choice = decide(tmp_path, made.cells("none", HIGH))
    assert choice.verdict == "not decided"
    assert "nothing to compare it with" in text(choice)


def test_a_plan_whose_cost_is_not_shown_is_recommended_with_a_condition(
    tmp_path: Path, rows: made.Rows
) -> None:
    honest = made.honest("none") + made.honest("guard", windows=48, alarms=0)
    found = sections.measure(read_study(made.write_all(tmp_path, rows, honest)))
    (choice,) = found.choices
    assert choice.verdict == "chosen"
    told = words.advice(choice, found.costs)
    assert (told.verdict, told.tone) == ("sell guard, if its cost is borne out", "not-decided")
    (line,) = [line for line in told.lines if line.startswith("Not shown")]
    assert "0.1 % of windows raise an alarm (0.00 to 3.77; 96 windows)" in line
    assert any("0.00 % of windows alarmed" in line for line in told.lines)
    assert "not all of what that costs honest users is shown" in words.headline(
        found.choices, found.costs
    )


def test_each_label_mode_is_decided_by_itself(tmp_path: Path, rows: made.Rows) -> None:
    rows += made.cells("none", HIGH, mode="hard") + made.both("guard", LOW, HIGH, mode="hard")
    honest = made.honest("none") + made.honest("guard")
    found = sections.measure(read_study(made.write_all(tmp_path, rows, honest)))
    soft, hard = found.choices
    assert (soft.verdict, hard.verdict) == ("chosen", "not decided")
    assert words.headline(found.choices, found.costs) == (
        "Sell soft answers under guard; for hard answers it is not decided."
    )
