"""After `dawn`, only what keeps the label: whatever else follows would wipe the mark away."""

import numpy as np
import pytest

from shared.config import ConfigError
from tests.support.chains import (
    BEND,
    DECEIVE,
    LABEL,
    MARK,
    MISLEAD,
    NOISE,
    REDIRECT,
    ROUND,
    TURN,
    plan,
)
from tests.support.defence_examples import EXAMPLES
from victim_service.defences import Asked, check_chain, defend
from victim_service.defences.dawn import DawnSpec

MARKED = DawnSpec(rate=0.2)
AFTER = [
    spec
    for kind, specs in EXAMPLES.items()
    for spec in specs
    if kind != "dawn" and spec.argmax_kept
]


@pytest.mark.parametrize(
    "link",
    [
        NOISE,
        {**BEND, "preserve_argmax": False},
        DECEIVE,
        MISLEAD,
        {**TURN, "variant": "extreme"},
        {**REDIRECT, "preserve_argmax": False},
    ],
    ids=lambda link: link["kind"],
)
def test_a_link_that_may_change_a_marked_label_is_refused(link):
    kind = link["kind"]
    lost = f"{kind} after dawn may change the labels .* nobody finds the mark. Put dawn last"
    for chain in ([MARK, link], [MARK, {"kind": "proof_of_work"}, link]):
        with pytest.raises(ConfigError, match=rf"p\.yaml: defences: {lost}"):
            plan(chain)
    assert plan([link, MARK]).defences[-1].kind == "dawn"


def test_a_step_of_a_ladder_may_not_change_a_marked_label_either():
    ladder = {"steps": [{"kind": "degrade", "defences": [DECEIVE]}]}
    with pytest.raises(ConfigError, match="step 1: deceptive_labels after dawn may change"):
        plan([MARK], ladder=ladder)
    plan([MARK], ladder={"steps": [{"kind": "degrade", "defences": [ROUND, LABEL]}]})


@pytest.mark.parametrize("spec", AFTER, ids=lambda spec: spec.kind)
def test_every_link_that_may_stand_after_a_mark_leaves_all_of_it(spec):
    check_chain((MARKED, spec))
    asked = Asked(b"s" * 32, "alice", "c" * 64, "p", 1)
    rows = np.random.default_rng(0).dirichlet(np.full(10, 0.3), 400).astype(np.float32)
    clips = np.arange(400, dtype=np.float32)[:, np.newaxis]
    marked = defend(rows, clips, (MARKED,), asked).argmax(axis=1)
    assert (marked != rows.argmax(axis=1)).sum() > 40
    sold = defend(rows, clips, (MARKED, spec), asked).argmax(axis=1)
    np.testing.assert_array_equal(sold, marked)
