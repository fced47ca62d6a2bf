"""What the laboratory says that each defence leaves is what the victim's own specs promise."""

from typing import Any

import numpy as np
import pytest

from attacker.lab.study.page.told import ALL, CONFIDENCE, LABEL, keeps_label, told
from tests.support.defence_examples import EXAMPLES
from victim_service.defences import DEFENCES, Asked, defend
from victim_service.defences.base import DefenceSpec

SPECS = [pytest.param(spec, id=f"{kind}-{n}") for kind in DEFENCES
         for n, spec in enumerate(EXAMPLES[kind])]  # fmt: skip
CLASSES = 6


def as_written(spec: DefenceSpec) -> dict[str, Any]:
    """The spec as a study may write it: without what it leaves at its default."""
    return {"kind": spec.kind, **spec.model_dump(mode="json", exclude_defaults=True)}


@pytest.mark.parametrize("spec", SPECS)
def test_whether_labels_stay(spec: DefenceSpec) -> None:
    for document in (as_written(spec), spec.model_dump(mode="json")):
        assert keeps_label(document) is spec.argmax_kept
        hard = told({"label_mode": "hard", "defences": [document]})
        assert hard.changed_by == (() if spec.argmax_kept else (spec.kind,))


@pytest.mark.parametrize("spec", SPECS)
def test_how_much_is_left(spec: DefenceSpec) -> None:
    found = told({"label_mode": "soft", "defences": [as_written(spec)]}, CLASSES).rank.form
    assert (found == LABEL) is (spec.gives == "label")
    assert (found == CONFIDENCE) is (spec.gives == "confidence")
    if spec.gives == "soft":
        assert found == ALL


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_said_to_change_nothing_changes_nothing(spec: DefenceSpec) -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(CLASSES, 0.5), 64).astype(np.float32)
    clips = rng.normal(0, 0.1, (64, 16)).astype(np.float32)
    defended = defend(rows, clips, (spec,), Asked(b"secret", "alice", "checkpoint", "plan", 1))
    for mode in ("soft", "hard"):
        found = told({"label_mode": mode, "defences": [as_written(spec)]}, CLASSES)
        if not found.changed_by:
            shown = [r if mode == "soft" else r.argmax(axis=1) for r in (rows, defended)]
            assert np.array_equal(*shown)
