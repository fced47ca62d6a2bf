"""A degraded account is never shown more than it was before: what is refused, and why it holds."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from shared.config import ConfigError, validate
from tests.support.victims import make_clips
from victim_service.defences import Asked, defend
from victim_service.labels import Released, release
from victim_service.ladder import terms_of
from victim_service.narrowing import folded
from victim_service.plans import Plan

SOFT = {"label_mode": "soft"}
HARD = {"label_mode": "hard"}
ROUNDED = {"label_mode": "rounded", "decimals": 1}
FINER = {"label_mode": "rounded", "decimals": 2}
TOP = {"label_mode": "top_k", "top_k": 1}
TOPS = {"label_mode": "top_k", "top_k": 2}
WARM = {"label_mode": "temperature", "temperature": 5}
MODES = (SOFT, HARD, ROUNDED, FINER, TOP, TOPS, WARM)
LINKS = (
    {"kind": "noise", "scale": 0.1},
    {"kind": "temperature", "temperature": 2},
    {"kind": "reverse_sigmoid", "beta": 0.1, "gamma": 0.2},
    {"kind": "adaptive_misinformation", "tau": 0.5},
    {"kind": "modelguard_s", "epsilon": 0.5},
    {"kind": "deceptive_labels", "delta": 0.4, "privacy": 1.0},
    {"kind": "top_k", "k": 2},
    {"kind": "rounding", "decimals": 1},
    {"kind": "confidence_buckets"},
    {"kind": "label_only"},
)
CLASSES = 4
ASKED = Asked(b"s" * 32, "alice", "c" * 64, "p", 1)


def plan_with(*degrades: dict, **fields: object) -> Plan:
    steps = [{"kind": "degrade", **degrade} for degrade in degrades]
    ladder = {"ladder": {"steps": steps}} if steps else {}
    return validate({"name": "p", **fields, **ladder}, Plan, origin="p")


def answer(plan: Plan, rows: np.ndarray) -> Released:
    # One clip, whatever the model says to it: the draws must not tell answers apart.
    clips = np.repeat(make_clips(1, 64).astype(np.float32) / 2**15, len(rows), axis=0)
    return release(defend(rows, clips, plan.defences, ASKED), plan)


def grid(parts: int = 8) -> np.ndarray:
    """All rows of CLASSES multiples of 1 / parts."""
    counts = [row for row in product(range(parts + 1), repeat=CLASSES) if sum(row) == parts]
    return np.array(counts, dtype=np.float32) / np.float32(parts)


def seen(told: Released, decimals: int) -> list[tuple]:
    """What each clip's answer shows."""
    shown = told.probabilities
    rows = [()] * len(told.labels) if shown is None else np.round(shown, decimals).tolist()
    return [(label, *row) for label, row in zip(told.labels.tolist(), rows, strict=True)]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode.values())))
def test_a_label_mode_as_a_link_answers_alike(mode):
    rows = np.random.default_rng(0).dirichlet(np.full(CLASSES, 0.5), 500).astype(np.float32)
    plan = plan_with(**mode)
    before, after = answer(plan, rows), answer(folded(plan), rows)
    assert after.label_mode == before.label_mode
    assert np.array_equal(after.labels, before.labels)
    if before.probabilities is not None:
        assert np.allclose(after.probabilities, before.probabilities, rtol=0, atol=1e-6)


def ladders() -> list[Plan]:
    """Every plan of two degrades, of label modes and links, that can be sold."""
    first = [*MODES, *({"defences": [link]} for link in LINKS), {**HARD, "defences": [LINKS[6]]}]
    second = [*MODES, *({"defences": [link]} for link in LINKS[-3:])]
    plans = []
    for mode, *degrades in product(MODES, first, second):
        try:
            plans.append(plan_with(*degrades, **mode))
        except ConfigError:
            continue
    return plans


def test_an_answer_follows_from_that_of_the_rung_before():
    """So it shows no more, even to somebody who has both answers."""
    rows = grid()
    sold = ladders()
    assert len(sold) > 100
    known: dict[tuple, list[tuple]] = {}

    def told(plan: Plan, decimals: int) -> list[tuple]:
        mode = (plan.label_mode, plan.top_k, plan.decimals, plan.temperature)
        key = (plan.defences, *mode, decimals)
        if key not in known:
            known[key] = seen(answer(plan, rows), decimals)
        return known[key]

    for plan in sold:
        for rung in (1, 2):
            before, after = terms_of(plan, rung - 1).plan, terms_of(plan, rung).plan
            followed = defaultdict(set)
            # All of the one, and the other but for what float32 rounds off on its way.
            for one, other in zip(told(before, 12), told(after, 5), strict=True):
                followed[one].add(other)
            worst = max(followed.values(), key=len)
            assert len(worst) == 1, (plan.label_mode, plan.ladder, rung, worst)


@pytest.mark.parametrize(
    ("plan", "degrades", "reason"),
    [
        (HARD, [SOFT], "step 1: label_mode soft shows more than the hard before it. Leave it out"),
        (
            HARD,
            [{**SOFT, "defences": [{"kind": "rounding", "decimals": 6}]}],
            "step 1: rounding needs the leading probabilities, and label_mode hard before it",
        ),
        (HARD, [{"defences": [LINKS[0]]}], "step 1: noise needs .*, and label_mode hard before"),
        (HARD, [ROUNDED], "label_mode rounded shows more than the hard"),
        (ROUNDED, [{**ROUNDED, "decimals": 6}], "decimals 6 shows more than the 1 before it. Set"),
        (ROUNDED, [SOFT], "label_mode soft shows more than the rounded"),
        (TOP, [{**TOP, "top_k": 6}], "top_k 6 shows more than the 1 before it. Set 1 or less"),
        (TOP, [SOFT], "label_mode soft shows more than the top_k"),
        (WARM, [{**WARM, "temperature": 1}], "after label_mode temperature .* Set top_k, rounded"),
        (
            {**SOFT, "defences": [{"kind": "temperature", "temperature": 5}]},
            [{**WARM, "temperature": 0.2}],
            "step 1: temperature 0.2 undoes the 5 before it. Leave it out",
        ),
        (
            WARM,
            [{"defences": [{"kind": "temperature", "temperature": 0.2}]}],
            "step 1: temperature 0.2 undoes the 5 before it",
        ),
        (
            {**WARM, "temperature": 0.5},
            [{"defences": [{"kind": "temperature", "temperature": 2}]}],
            "step 1: temperature 2 undoes the 0.5 before it",
        ),
        (
            SOFT,
            [{"defences": [{"kind": "temperature", "temperature": 5}], **WARM, "temperature": 0.2}],
            "step 1: temperature 0.2 undoes the 5 before it",
        ),
        (SOFT, [FINER, {**FINER, "decimals": 3}], "step 2: decimals 3 shows more than the 2"),
        (SOFT, [HARD, TOP], "step 2: label_mode top_k shows more than the hard before it"),
        (
            SOFT,
            [WARM, {"defences": [{"kind": "temperature", "temperature": 0.2}]}],
            "step 2: temperature 0.2 undoes the 5 before it",
        ),
        (TOP, [ROUNDED, TOPS], "label_mode top_k shows 2 probabilities, and top_k leaves 1. Show"),
        (WARM, [{"defences": [LINKS[6]]}], "label_mode temperature needs exact .* Take another"),
    ],
)
def test_a_degrade_that_shows_more_or_undoes_a_defence_is_refused(plan, degrades, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        plan_with(*degrades, **plan)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plan", "degrades"),
    [
        (SOFT, [mode]) for mode in MODES
    ] + [
        (mode, [HARD]) for mode in MODES
    ] + [
        (SOFT, [FINER, ROUNDED, HARD]),
        ({**TOP, "top_k": 6}, [{**TOP, "top_k": 3}, TOP, HARD]),
        (WARM, [TOPS, ROUNDED]),
        (TOPS, [{"defences": [LINKS[7]]}, {"defences": [{"kind": "proof_of_work"}]}]),
        (SOFT, [{"defences": [{"kind": "rounding", "decimals": 3}]},
                {"defences": [{"kind": "rounding", "decimals": 1}]}]),
        ({**SOFT, "defences": [{"kind": "rounding", "decimals": 3}]}, [FINER, HARD]),
        ({**HARD, "defences": [LINKS[5]]}, [{"defences": [{"kind": "proof_of_work"}]}]),
    ],
)  # fmt: skip
def test_a_degrade_that_shows_no_more_is_sold(plan, degrades):
    assert len(plan_with(*degrades, **plan).ladder.steps) == len(degrades)
