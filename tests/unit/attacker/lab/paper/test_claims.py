"""Every kind of claim with every verdict, by figures that one can check by head."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from attacker.lab.paper import words
from attacker.lab.paper.claims import RULES, Decision, combine, decide
from attacker.lab.paper.deciders import CHANCE_LEAD
from attacker.lab.paper.sheet import Sheet
from attacker.tables.claims import Claim, Figure

CLAIM: TypeAdapter[Any] = TypeAdapter(Claim)
NEAR = (-0.002, 0.0, 0.002)
"""Three seeds that differ so little that their mean is known within half a point."""
FAR = (-0.1, 0.0, 0.1)
"""Three seeds that differ so much that their mean is known within 25 points."""


def seeds(mean: float, off: tuple[float, ...] = NEAR) -> dict[int, float]:
    return {seed: mean + more for seed, more in enumerate(off)}


def sheet(
    rows: Mapping[str, Mapping[int, float]],
    figure: Figure = "accuracy",
    settings: Mapping[str, Mapping[str, float]] | None = None,
    **others: Mapping[str, Mapping[int, float]],
) -> Sheet:
    figures: dict[str, dict[Figure, Mapping[int, float]]] = {
        row: {figure: values} for row, values in rows.items()
    }
    for name, by_row in others.items():
        for row, values in by_row.items():
            figures[row][name] = values  # type: ignore[index]
    return Sheet(figures, settings or {}, victim_accuracy=0.95, n_classes=30, test_clips=960)


def judge(scene: Sheet, **claim: Any) -> Decision:
    return decide(CLAIM.validate_python({"text": "it is so", **claim}), scene)


def test_every_kind_has_a_rule_and_no_rule_is_without_a_kind() -> None:
    kinds = {choice.model_fields["kind"].default for choice in Claim.__args__[0].__args__}  # type: ignore[attr-defined]
    assert set(RULES) == kinds
    assert all(len(rule) > 60 for rule in RULES.values())


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "not decided"], "not decided"),
        (["not decided", "does not hold"], "does not hold"),
        (["holds", "does not hold"], "does not hold"),
        ([], "not decided"),
    ],
)
def test_all_comparisons_must_hold(verdicts: list[Any], together: str) -> None:
    assert combine(verdicts) == together


@pytest.mark.parametrize(
    ("high", "low", "verdict"),
    [
        (seeds(0.5), seeds(0.4), "holds"),
        (seeds(0.4), seeds(0.5), "does not hold"),
        (seeds(0.5), seeds(0.5), "does not hold"),  # paired, they are equal in every seed
        (seeds(0.5, FAR), seeds(0.45, (0.1, 0.0, -0.1)), "not decided"),
    ],
)
def test_above(high: dict[int, float], low: dict[int, float], verdict: str) -> None:
    decision = judge(sheet({"a": high, "b": low}), kind="above", rows=["a"], than=["b"])
    assert decision.verdict == verdict
    assert decision.evidence[0].seeds == (0, 1, 2)
    assert decision.reason == ""


def test_above_is_paired_by_seed() -> None:
    """Rows that differ much from seed to seed, and little within one, are told apart."""
    scene = sheet({"a": seeds(0.52, FAR), "b": seeds(0.5, FAR)})
    decision = judge(scene, kind="above", rows=["a"], than=["b"])
    assert decision.verdict == "holds"
    found = decision.evidence[0].spread
    assert found is not None
    assert found.mean == pytest.approx(0.02)
    shuffled = sheet({"a": seeds(0.52, FAR), "b": seeds(0.5, FAR[::-1])})
    assert judge(shuffled, kind="above", rows=["a"], than=["b"]).verdict == "not decided"


def test_above_asks_for_every_pair() -> None:
    rows = {"a": seeds(0.6), "b": seeds(0.5), "c": seeds(0.4), "d": seeds(0.55)}
    decision = judge(sheet(rows), kind="above", rows=["a", "b"], than=["c"])
    assert (decision.verdict, len(decision.evidence)) == ("holds", 2)
    decision = judge(sheet(rows), kind="above", rows=["a", "b"], than=["c", "d"])
    assert (decision.verdict, len(decision.evidence)) == ("does not hold", 4)
    assert [item.verdict for item in decision.evidence].count("does not hold") == 1


def test_above_takes_the_figure_that_is_named() -> None:
    scene = sheet({"a": seeds(0.4), "b": seeds(0.5)}, volume={"a": seeds(900), "b": seeds(500)})
    assert judge(scene, kind="above", rows=["a"], than=["b"]).verdict == "does not hold"
    claim = {"kind": "above", "rows": ["a"], "than": ["b"], "figure": "volume"}
    assert judge(scene, **claim).verdict == "holds"


@pytest.mark.parametrize("missing", [{}, {0: 0.6}])
def test_fewer_than_two_seeds_decide_nothing(missing: dict[int, float]) -> None:
    scene = sheet({"a": missing, "b": seeds(0.1)})
    decision = judge(scene, kind="above", rows=["a"], than=["b"])
    assert decision.verdict == "not decided"
    assert decision.reason == f"{'one' if missing else 'no'} seed has finished (a)"
    assert judge(scene, kind="at_chance", rows=["a"]).verdict == "not decided"


def test_only_seeds_that_both_rows_have_are_compared() -> None:
    scene = sheet({"a": {0: 0.9, 1: 0.6, 2: 0.601}, "b": {1: 0.5, 2: 0.5, 3: 0.95}})
    decision = judge(scene, kind="above", rows=["a"], than=["b"])
    assert decision.evidence[0].seeds == (1, 2)
    assert decision.verdict == "holds"


CHANCE = 1 / 30
CEILING = CHANCE + CHANCE_LEAD * (0.95 - CHANCE)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (seeds(CHANCE), "holds"),
        ({0: CHANCE, 1: CHANCE, 2: CHANCE}, "holds"),  # one label for everything
        (seeds(0.0, (0.0, 0.0, 0.001)), "holds"),  # worse than a guess is no theft either
        (seeds(0.06), "does not hold"),  # a little is stolen, and it shows
        (seeds(0.4), "does not hold"),
        (seeds(0.05, (-0.03, 0.0, 0.03)), "not decided"),  # reaches to the guess and beyond 12 %
        (seeds(0.3, (-0.25, 0.0, 0.25)), "not decided"),
    ],
)
def test_at_chance(values: dict[int, float], verdict: str) -> None:
    assert judge(sheet({"noise": values}), kind="at_chance", rows=["noise"]).verdict == verdict


def test_chance_has_the_luck_of_the_test_clips() -> None:
    scene = sheet({})
    assert scene.highest_guess == pytest.approx(
        CHANCE + 1.96 * (CHANCE * (1 - CHANCE) / 960) ** 0.5, abs=1e-6
    )
    assert CHANCE < scene.highest_guess < CEILING
    few = Sheet({}, {}, victim_accuracy=0.95, n_classes=30, test_clips=30)
    assert few.highest_guess > CEILING


def test_a_guess_has_no_coverage() -> None:
    claim = {"kind": "at_chance", "rows": ["a"], "figure": "coverage"}
    decision = judge(sheet({"a": seeds(0.1)}), **claim)
    assert (decision.verdict, decision.reason) == ("not decided", "a guess has no coverage")


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (seeds(0.51), seeds(0.5), "holds"),
        (seeds(0.49), seeds(0.5), "holds"),
        (seeds(0.6), seeds(0.5), "does not hold"),
        (seeds(0.4), seeds(0.5), "does not hold"),
        (seeds(0.53), seeds(0.5, (0.0, 0.0, 0.0)), "not decided"),  # 3 points, give or take 0.5
        (seeds(0.5, FAR), seeds(0.5), "not decided"),  # no difference is shown, nor equality
    ],
)
def test_about_equal(a: dict[int, float], b: dict[int, float], verdict: str) -> None:
    claim = {"kind": "about_equal", "rows": ["a"], "than": ["b"], "margin_points": 3}
    assert judge(sheet({"a": a, "b": b}), **claim).verdict == verdict


def test_about_equal_compares_place_by_place() -> None:
    rows = {"a": seeds(0.5), "b": seeds(0.7), "x": seeds(0.5), "y": seeds(0.7)}
    claim = {"kind": "about_equal", "rows": ["a", "b"], "margin_points": 3}
    decision = judge(sheet(rows), **claim, than=["x", "y"])
    assert decision.verdict == "holds"
    assert [item.label for item in decision.evidence] == ["a against x", "b against y"]
    assert judge(sheet(rows), **claim, than=["y", "x"]).verdict == "does not hold"
    assert judge(sheet(rows), **claim, than=["x"]).verdict == "does not hold"
    odd = judge(sheet(rows), **claim, than=["x", "y", "a"])
    assert odd.verdict == "not decided"
    assert "one row for each" in odd.reason


def test_about_equal_to_the_victim() -> None:
    """The victim has one accuracy, whatever the seed, and agrees with itself."""
    claim = {"kind": "about_equal", "rows": ["own"], "than": ["victim"], "margin_points": 3}
    assert judge(sheet({"own": seeds(0.94)}), **claim).verdict == "holds"
    assert judge(sheet({"own": seeds(0.9)}), **claim).verdict == "does not hold"
    agrees = sheet({"own": seeds(0.985)}, figure="fidelity")
    assert judge(agrees, **claim, figure="fidelity").verdict == "holds"


def test_points_say_nothing_of_a_volume() -> None:
    claim = {"kind": "about_equal", "rows": ["a"], "than": ["b"], "margin_points": 3}
    decision = judge(sheet({"a": seeds(1), "b": seeds(1)}, "volume"), **claim, figure="volume")
    assert (decision.verdict, "volume" in decision.reason) == ("not decided", True)


RISES = {"kind": "rises_with", "x": "volume", "rows": ["low", "middle", "high"]}
VOLUMES = {"low": seeds(100), "middle": seeds(200), "high": seeds(300)}


@pytest.mark.parametrize(
    ("low", "middle", "high", "verdict"),
    [
        (seeds(0.3), seeds(0.4), seeds(0.5), "holds"),
        (seeds(0.3), seeds(0.3), seeds(0.5), "holds"),
        (seeds(0.5), seeds(0.4), seeds(0.3), "does not hold"),
        (seeds(0.3), seeds(0.2), seeds(0.5), "does not hold"),  # its first step falls
        (seeds(0.3), seeds(0.6), seeds(0.5), "does not hold"),  # a jump, and down again
        (seeds(0.3), seeds(0.5), seeds(0.5, FAR), "not decided"),  # a jump, and then who knows
        (seeds(0.3), seeds(0.495), seeds(0.5, NEAR[::-1]), "not decided"),  # a jump, then flat
        (seeds(0.3, FAR), seeds(0.3), seeds(0.35), "not decided"),
    ],
)
def test_rises_with(
    low: dict[int, float], middle: dict[int, float], high: dict[int, float], verdict: str
) -> None:
    scene = sheet({"low": low, "middle": middle, "high": high}, volume=VOLUMES)
    assert judge(scene, **RISES).verdict == verdict


def test_a_fall_between_is_seen() -> None:
    heights = (0.3, 0.4, 0.5, 0.45, 0.6)
    rows = {f"r{n}": seeds(height) for n, height in enumerate(heights)}
    settings = {name: {"k": float(n)} for n, name in enumerate(rows)}
    claim = {"kind": "rises_with", "x": "k", "rows": list(rows)}
    decision = judge(sheet(rows, settings=settings), **claim)
    assert decision.verdict == "does not hold"
    fallen = [item.label for item in decision.evidence if item.verdict == "does not hold"]
    assert fallen == ["r3 against r2"]


FIVE = {"kind": "rises_with", "x": "k", "rows": [f"r{n}" for n in range(6)]}
STEPS = {f"r{n}": {"k": float(n)} for n in range(6)}


@pytest.mark.parametrize("few", [{}, {0: 0.4}])
def test_rows_between_that_have_not_run_leave_a_rise_undecided(few: dict[int, float]) -> None:
    rows = {"r0": seeds(0.3), "r1": seeds(0.4), "r2": few, "r3": few, "r4": few, "r5": seeds(0.6)}
    decision = judge(sheet(rows, settings=STEPS), **FIVE)
    assert decision.verdict == "not decided"
    assert decision.reason == f"{'one' if few else 'no'} seed has finished (r2, r3, r4)"
    told = [words.evidence(item, decision) for item in decision.evidence]
    assert any(line.startswith("r2 against r1: ") for line in told)
    whole = rows | {"r2": seeds(0.45), "r3": seeds(0.5), "r4": seeds(0.55)}
    assert judge(sheet(whole, settings=STEPS), **FIVE).verdict == "holds"


def test_a_fall_is_seen_though_rows_between_have_not_run() -> None:
    rows = {"r0": seeds(0.6), "r1": seeds(0.5), "r2": {}, "r3": {}, "r4": {}, "r5": seeds(0.3)}
    assert judge(sheet(rows, settings=STEPS), **FIVE).verdict == "does not hold"


def test_a_cell_without_a_surrogate_has_finished_all_the_same() -> None:
    scene = Sheet(
        {"few": {"volume": {0: 1, 1: 1}}, "mixed": {"accuracy": {0: 0.4}}, "b": {}},
        {}, 0.95, 30, 960, untrained={"few": (1, 1), "mixed": (2, 5)},
    )  # fmt: skip
    alone = judge(scene, kind="at_chance", rows=["few"])
    assert alone.verdict == "not decided"
    told = words.evidence(alone.evidence[0], alone).replace("\u00a0", " ")
    assert told == "few: no surrogate was trained: 1 answer kept"
    both = judge(scene, kind="above", rows=["few", "mixed"], than=["b"])
    assert both.reason.replace("\u00a0", " ") == (
        "no surrogate was trained: 1 answer kept (few); no seed has finished (b); "
        "of all seeds but one no surrogate was trained: 2 to 5 answers kept (mixed)"
    )
    volume = judge(scene, kind="above", rows=["few"], than=["b"], figure="volume")
    assert volume.reason == "no seed has finished (b)"


def test_rows_that_share_no_two_seeds_are_not_said_to_be_unfinished() -> None:
    scene = sheet({"a": {0: 0.5, 1: 0.5}, "b": {1: 0.4, 2: 0.4}})
    decision = judge(scene, kind="above", rows=["a"], than=["b"])
    assert decision.reason == "fewer than two seeds in common (a against b)"


def test_whose_claim_it_is_is_kept() -> None:
    scene = sheet({"a": seeds(0.5), "b": seeds(0.4)})
    claim = {"kind": "above", "rows": ["a"], "than": ["b"]}
    assert not judge(scene, **claim).ours
    assert judge(scene, **claim, ours=True).ours


def test_nothing_rises_with_what_does_not_rise_itself() -> None:
    rows = {"low": seeds(0.3), "middle": seeds(0.4), "high": seeds(0.5)}
    flat = {"low": seeds(100), "middle": seeds(300), "high": seeds(300)}
    decision = judge(sheet(rows, volume=flat), **RISES)
    assert decision.verdict == "not decided"
    assert decision.reason == "volume itself does not rise in this order of the rows"
    decision = judge(sheet(rows, volume={"low": seeds(1)}), **RISES)
    assert decision.verdict == "not decided"
    assert decision.reason == "not every row has a volume yet (without: middle, high)"


def test_rises_with_a_setting_of_the_rows() -> None:
    rows = {"a": seeds(0.3), "b": seeds(0.4)}
    claim = {"kind": "rises_with", "x": "tau", "rows": ["a", "b"]}
    known = sheet(rows, settings={"a": {"tau": 1}, "b": {"tau": 9}})
    assert judge(known, **claim).verdict == "holds"
    assert judge(sheet(rows), **claim).reason == "not every row has a tau yet (without: a, b)"
    alone = judge(known, kind="rises_with", x="tau", rows=["a"])
    assert (alone.verdict, alone.reason) == ("not decided", "one row cannot rise")


@pytest.mark.parametrize(
    ("heights", "verdict"),
    [
        ((0.3, 0.5, 0.5, 0.52, 0.48), "holds"),
        ((0.3, 0.5, 0.56, 0.58, 0.59), "holds"),
        ((0.3, 0.3, 0.3, 0.3, 0.3), "not decided"),  # no jump is shown, nor its absence
        ((0.5, 0.3, 0.3, 0.3, 0.3), "does not hold"),  # a jump down
        ((0.3, 0.5, 0.6, 0.7, 0.8), "does not hold"),  # it keeps rising
        ((0.3, 0.5, 0.5, 0.3, 0.5), "does not hold"),  # and down again
        ((0.3, 0.5, 0.6, 0.5, 0.5), "not decided"),  # just half of the jump above
    ],
)
def test_jump_then_plateau(heights: tuple[float, ...], verdict: str) -> None:
    offsets = ((0.001, -0.001, 0.0), (0.0, 0.001, -0.001), (-0.001, 0.0, 0.001))
    rows = {f"k{n}": seeds(height, offsets[n % 3]) for n, height in enumerate(heights)}
    decision = judge(sheet(rows), kind="jump_then_plateau", rows=list(rows))
    assert decision.verdict == verdict
    assert len(decision.evidence) == 1 + 2 * 3


def test_a_jump_that_is_not_sure_decides_nothing() -> None:
    rows = {"k0": seeds(0.3), "k1": seeds(0.4, FAR), "k2": seeds(0.4, FAR)}
    claim = {"kind": "jump_then_plateau", "rows": ["k0", "k1", "k2"]}
    assert judge(sheet(rows), **claim).verdict == "not decided"
    short = judge(sheet(rows), kind="jump_then_plateau", rows=["k0", "k1"])
    assert (short.verdict, short.reason) == ("not decided", "a plateau needs a third row")
