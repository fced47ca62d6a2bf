"""What each step of a ladder changes, and which ladders are refused."""

from fractions import Fraction
from math import ceil

import pytest

from shared.config import ConfigError, validate
from victim_service.ladder import terms_of
from victim_service.plans import Plan, read_plan
from victim_service.steps import STEPS

ALL = [
    {"kind": "price_up", "factor": 2},
    {"kind": "degrade", "defences": [{"kind": "rounding", "decimals": 2}]},
    {"kind": "price_up", "factor": 1.5},
    {"kind": "degrade", "label_mode": "top_k", "top_k": 1},
    {"kind": "challenge", "bits": 14},
    {"kind": "throttle", "rate_per_s": 1, "burst": 8},
    {"kind": "suspend"},
]


def plan_with(*steps: dict, **fields: object) -> Plan:
    ladder = {"alarms": 2, "steps": list(steps)}
    return validate(
        {"name": "p", "label_mode": "soft", **fields, "ladder": ladder}, Plan, origin="p"
    )


def test_steps_are_in_force_together():
    plan = plan_with(*ALL)
    assert {step["kind"] for step in ALL} == set(STEPS)
    at = [terms_of(plan, rung) for rung in range(len(ALL) + 2)]
    assert at[0].plan is plan
    assert [terms.factor for terms in at] == [1, 2, 2, 3, 3, 3, 3, 3, 3]
    assert [len(terms.plan.defences) for terms in at] == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert [terms.plan.label_mode for terms in at] == ["soft"] * 4 + ["top_k"] * 5
    assert [terms.plan.top_k for terms in at] == [None] * 4 + [1] * 5
    assert [terms.bits for terms in at] == [0] * 5 + [14] * 4
    assert [terms.plan.burst for terms in at] == [None] * 6 + [8] * 3
    assert [terms.suspended for terms in at] == [False] * 7 + [True] * 2
    assert plan.ladder.kinds(2) == ["price_up", "degrade"]


def test_a_plan_without_a_ladder_has_one_rung():
    plan = Plan(name="p", label_mode="soft")
    assert terms_of(plan, 3).plan is plan
    assert not terms_of(plan, 3).suspended


@pytest.mark.parametrize(
    ("factor", "plain", "clips", "units"),
    [(2, None, 3, 6), (1.5, None, 3, 5), (1.5, 7, 3, 11), (2, 0, 3, 0)],
)
def test_units_are_rounded_up(factor, plain, clips, units):
    plan = plan_with({"kind": "price_up", "factor": factor})
    assert terms_of(plan, 1).units(plain, clips) == units
    assert terms_of(plan, 0).units(plain, clips) == plain


@pytest.mark.parametrize("factor", ["1.1", "1.05", "1.15", "1.2", "2.3", "3.7", "1.001", "99.9"])
def test_a_price_is_exact_in_the_number_that_was_written(factor):
    steps = [{"kind": "price_up", "factor": float(factor)}] * 2
    plan = plan_with(*steps)
    for clips in range(1, 400):
        for rung in (1, 2):
            exact = ceil(clips * Fraction(factor) ** rung)
            assert terms_of(plan, rung).units(None, clips) == exact
    tenth = terms_of(plan_with({"kind": "price_up", "factor": 1.1}), 1)
    assert [tenth.units(None, clips) for clips in (50, 90, 100, 110, 170)] == [
        55, 99, 110, 121, 187
    ]  # fmt: skip


def test_a_plan_with_a_ladder_survives_its_own_document():
    plan = plan_with(*ALL, detectors=[])
    assert read_plan(plan.model_dump_json(), "p") == plan


@pytest.mark.parametrize(
    ("steps", "fields", "message"),
    [
        ([], {}, "at least 1"),
        ([{"kind": "scold"}], {}, "valid kinds: challenge, degrade, price_up, suspend, throttle"),
        ([{"kind": "suspend"}, {"kind": "challenge", "bits": 3}], {}, "Put it last"),
        ([{"kind": "price_up", "factor": 1}], {}, "greater than 1"),
        ([{"kind": "challenge", "bits": 99}], {}, "less than or equal"),
        ([{"kind": "degrade"}], {}, "changes nothing"),
        ([{"kind": "degrade", "defences": [{"kind": "dawn"}]}], {}, "that nobody can verify"),
        (
            [{"kind": "degrade", "defences": [{"kind": "label_only"}, {"kind": "label_only"}]}],
            {},
            "two of label_only do what one can do alone",
        ),
        ([{"kind": "degrade", "top_k": 2}], {}, "changes nothing"),
        ([{"kind": "degrade", "label_mode": "top_k"}], {}, "step 1: top_k goes with"),
        (
            [{"kind": "degrade", "defences": [{"kind": "label_only"}]},
             {"kind": "degrade", "defences": [{"kind": "rounding", "decimals": 2}]}],
            {},
            "step 2: rounding needs",
        ),
        (
            [{"kind": "degrade", "defences": [{"kind": "label_only"}], "label_mode": "rounded",
              "decimals": 2}],
            {},
            "step 1: label_mode rounded needs",
        ),
        (
            [{"kind": "throttle", "rate_per_s": 5, "burst": 5}],
            {"rate_per_s": 4, "burst": 4},
            "step 1: throttle to 5 clips/s is no slower than the 4 before it. Set a lower",
        ),
        (
            [{"kind": "throttle", "rate_per_s": 5, "burst": 1000}],
            {"rate_per_s": 5, "burst": 10},
            "step 1: throttle to 5 clips/s is no slower than the 5",
        ),
        (
            [{"kind": "throttle", "rate_per_s": 4, "burst": 11}],
            {"rate_per_s": 5, "burst": 10},
            "a burst of 11 grants more at once than the 10 before it. Set burst to 10 or less",
        ),
        (
            [{"kind": "throttle", "rate_per_s": 4, "burst": 9},
             {"kind": "throttle", "rate_per_s": 3, "burst": 10}],
            {},
            "step 2: throttle to a burst of 10 grants more at once than the 9",
        ),
        ([{"kind": "suspend", "for_s": 3}], {}, "for_s"),
        (
            [{"kind": "throttle", "rate_per_s": 1, "burst": 8},
             {"kind": "price_up", "factor": 1.6}],
            {"budget": 15, "leakage_price": {"most": 10}},
            "step 2: budget 15 never sells a clip, for 16 units .* Set 16 or more, or a lower",
        ),
        (
            [{"kind": "price_up", "factor": 4}, {"kind": "price_up", "factor": 4}],
            {"account_budget": 15},
            "step 2: account_budget 15 never sells a clip, for 16 units",
        ),
        (
            [{"kind": "challenge", "bits": 9}, {"kind": "challenge", "bits": 9}],
            {},
            "step 2: challenge of 9 bits asks for no more than the 9 before it. Set more than 9",
        ),
        (
            [{"kind": "challenge", "bits": 9}],
            {"defences": [{"kind": "proof_of_work", "bits": 12}]},
            "step 1: challenge of 9 bits asks for no more than the 12 before it",
        ),
    ],
)  # fmt: skip
def test_a_ladder_that_makes_no_sense_is_refused(steps, fields, message):
    with pytest.raises(ConfigError, match=message):
        plan_with(*steps, **fields)


def test_a_price_at_which_a_budget_sells_one_clip_is_none_that_never_sells():
    steps = [{"kind": "price_up", "factor": 1.5}, {"kind": "suspend"}]
    assert plan_with(*steps, budget=15, leakage_price={"most": 10})
    assert plan_with(*steps, budget=2)
    assert plan_with(*steps, budget=0)  # keys may have budgets of their own


def test_each_challenge_asks_for_more():
    steps = [{"kind": "challenge", "bits": bits} for bits in (13, 14)]
    plan = plan_with(*steps, defences=[{"kind": "proof_of_work", "bits": 12}])
    assert [terms_of(plan, rung).bits for rung in range(3)] == [0, 13, 14]


@pytest.mark.parametrize(
    ("detectors", "message"),
    [
        ([{"kind": "psychic"}], "unknown kind 'psychic'; valid kinds: coverage"),
        ([{"kind": "coverage"}, {"kind": "coverage", "threshold": 0.9}], "watch alike"),
        ([{"kind": "coverage", "window": 1}], "window"),
        ([{"kind": "coverage", "threshold": 2.0}], "coverage: .*threshold 2 is never passed"),
    ],
)
def test_detectors_that_make_no_sense_are_refused(detectors, message):
    with pytest.raises(ConfigError, match=message):
        plan_with(*ALL, detectors=detectors)
