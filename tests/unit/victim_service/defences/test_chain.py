"""Chains that contradict themselves are refused with the reason; what each link needs is data."""

import pytest

from shared.config import ConfigError
from tests.support.chains import (
    BEND,
    BUCKETS,
    DECEIVE,
    GUARD_S,
    GUARD_W,
    LABEL,
    MARK,
    MISLEAD,
    NOISE,
    REDIRECT,
    ROUND,
    TOP,
    TURN,
    WARM,
    plan,
)
from tests.support.defence_examples import EXAMPLES
from victim_service.defences import DEFENCES, check_chain


@pytest.mark.parametrize(
    "chain",
    [
        [WARM, NOISE, BEND, GUARD_W, TOP, ROUND],
        [NOISE, {**NOISE, "added_to": "logits"}],
        [GUARD_S, TOP, BUCKETS, LABEL],
        [ROUND, BUCKETS],
        [ROUND, TOP],
        [NOISE, DECEIVE],
        [MISLEAD, MARK, REDIRECT, TURN, GUARD_S],
        [TOP, MARK, ROUND],
        [LABEL, MARK],
        [DECEIVE, MARK],
        [MARK, {**NOISE, "preserve_argmax": True}, WARM, TOP, BUCKETS, LABEL],
        [GUARD_S, DECEIVE],
    ],
    ids=lambda chain: "-".join(link["kind"] for link in chain),
)
def test_a_chain_that_takes_away_step_by_step_is_sold(chain):
    assert [spec.kind for spec in plan(chain).defences] == [link["kind"] for link in chain]


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (
            [LABEL, NOISE],
            "noise needs exact probabilities, and label_only before it leaves no more than a "
            "label. Put noise before label_only, or leave one of them out",
        ),
        ([TOP, WARM], "temperature needs exact probabilities, and top_k before it"),
        ([ROUND, BEND], "reverse_sigmoid needs exact probabilities, and rounding before it"),
        ([GUARD_S, GUARD_W], "modelguard_w needs .*, and modelguard_s before it"),
        ([BUCKETS, TOP], "top_k needs shortened probabilities, and confidence_buckets before it"),
        ([BUCKETS, ROUND], "rounding needs the leading probabilities, and confidence_buckets"),
        ([LABEL, BUCKETS], "confidence_buckets needs .*, and label_only before it"),
        ([TOP, DECEIVE], "deceptive_labels needs shortened probabilities, and top_k before it"),
        ([DECEIVE, LABEL], "label_only needs a label and a confidence, and deceptive_labels"),
        ([TOP, TURN], "mad needs exact probabilities, and top_k before it"),
        ([LABEL, MARK, MISLEAD], "adaptive_misinformation needs .*, and label_only before it"),
        ([ROUND, REDIRECT], "gradient_redirection needs exact probabilities, and rounding"),
        ([MARK, MARK], "two of dawn do what one can do alone"),
        ([TOP, ROUND, TOP], "two of top_k do what one can do alone. Keep one of them"),
        ([ROUND, {**ROUND, "decimals": 1}], "two of rounding do what one can do alone"),
        ([WARM, WARM], "two of temperature do what one can do alone"),
        # The link to blame is the one that took the most away.
        ([NOISE, TOP, LABEL, NOISE], "noise needs exact probabilities, and label_only before it"),
        ([TOP, ROUND, NOISE], "noise needs .*, and top_k before it leaves no more than the lead"),
    ],
)
def test_a_chain_that_contradicts_itself_is_refused_with_the_reason(chain, reason):
    with pytest.raises(ConfigError, match=rf"p\.yaml: defences: {reason}"):
        plan(chain)


@pytest.mark.parametrize(
    ("chain", "mode", "reason"),
    [
        ([LABEL], {"label_mode": "top_k", "top_k": 3}, "label_mode top_k needs the leading"),
        ([BUCKETS], {"label_mode": "top_k", "top_k": 1}, "label_mode top_k needs the leading"),
        ([TOP], {"label_mode": "temperature", "temperature": 2.0}, "label_mode temperature needs"),
        ([BUCKETS], {"label_mode": "rounded", "decimals": 1}, "and confidence_buckets leaves"),
    ],
)
def test_a_label_mode_that_shows_what_is_gone_is_refused(chain, mode, reason):
    with pytest.raises(ConfigError, match=f"{reason}.*Take another label mode, or leave"):
        plan(chain, **mode)


def test_label_mode_top_k_shows_no_more_than_top_k_left():
    with pytest.raises(ConfigError, match="shows 4 probabilities, and top_k leaves 3"):
        plan([TOP], label_mode="top_k", top_k=4)
    assert plan([TOP], label_mode="top_k", top_k=3).top_k == 3


@pytest.mark.parametrize("chain", [[LABEL], [DECEIVE], [BUCKETS], [TOP, ROUND], [NOISE]])
def test_soft_and_hard_modes_go_with_every_chain(chain):
    for mode in ("soft", "hard"):
        assert plan(chain, label_mode=mode).label_mode == mode


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ({**GUARD_W, "epsilon": 2.5}, "epsilon: .*less than or equal to 2"),
        ({**GUARD_W, "epsilon": 0.01, "margin": 0.1}, "Keep margin at most epsilon / 2"),
        ({**GUARD_S, "epsilon": 2.0}, "epsilon: .*less than 2"),
        ({**NOISE, "epsilon": 3.0}, "epsilon: .*less than or equal to 2"),
        (
            {**NOISE, "distribution": "dirichlet", "added_to": "logits"},
            "not logits. Set `added_to: prob",
        ),
        ({**NOISE, "distribution": "dirichlet", "scale": 0.9}, "Choose a smaller scale"),
        ({**NOISE, "scale": float("nan")}, "scale: "),
        ({**BEND, "epsilon": 0.0}, "epsilon: .*greater than 0"),
        ({**BUCKETS, "low": 0.8}, "Keep low < mid_from <= mid < high_from <= high"),
        ({**BUCKETS, "mid": 0.95}, "must lie in its own bucket"),
        ({**DECEIVE, "labels": 1}, "labels: .*greater than or equal to 2"),
        ({**DECEIVE, "delta": 1.5}, "delta: .*less than or equal to 1"),
        ({**MARK, "rate": 0.6}, "rate: .*less than or equal to 0.5"),
        ({**TURN, "epsilon": 2.1}, "epsilon: .*less than or equal to 2"),
        ({**TURN, "variant": "best"}, "variant: .*argmax.*extreme"),
        ({**REDIRECT, "direction": "ones"}, "direction: .*reverse.*fixed"),
        ({**MISLEAD, "tau": 1.5}, "tau: .*less than or equal to 1"),
        ({**MISLEAD, "nu": 0.0}, "nu: .*greater than 0"),
        ({**TOP, "k": 0}, "k: .*greater than or equal to 1"),
        ({**TOP, "rest": "zero"}, "rest: .*even.*renormalise"),
        ({**WARM, "temperature": 0.0}, "temperature: "),
    ],
)
def test_a_setting_or_bound_that_cannot_hold_is_refused(link, reason):
    with pytest.raises(ConfigError, match=rf"defences\.0: {link['kind']}: .*{reason}"):
        plan([link])


def test_every_defence_can_stand_alone_and_first_before_a_label():
    for kind, specs in EXAMPLES.items():
        for spec in specs:
            check_chain((spec,))
            if spec.gives != "label":
                check_chain((spec, DEFENCES["label_only"]()))
            if kind != "noise":
                with pytest.raises(ValueError, match=f"two of {kind} do what one can"):
                    check_chain((spec, spec))
