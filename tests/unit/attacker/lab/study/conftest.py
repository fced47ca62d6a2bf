"""A study in which `guard` is the right plan, however one looks at it."""

from pathlib import Path

import pytest

from tests.support import study_tables as made

GUARD = {
    "label_mode": "soft",
    "defences": [{"kind": "guard"}],
    "rate_per_s": 5.0,
    "detectors": [{"kind": "prada"}],
    "ladder": {"alarms": 2, "steps": [{"kind": "price_up"}, {"kind": "suspend"}]},
}


@pytest.fixture
def rows() -> made.Rows:
    """Cells of an undefended plan, and of one that halves what is stolen."""
    return made.cells("none", made.HIGH) + made.both("guard", {500: 0.1, 2000: 0.2}, made.LOW)


@pytest.fixture
def honest() -> made.Rows:
    """Honest users lose nothing under one plan and next to nothing under the other."""
    guarded = made.honest("guard", l1=0.2, accuracy=made.VICTIM - 0.004, windows=3000)
    return made.honest("none") + guarded


@pytest.fixture
def folder(tmp_path: Path, rows: made.Rows, honest: made.Rows) -> Path:
    """A whole study."""
    caught = [made.detection("prada", "naive", seed) for seed in range(3)]
    bare = {"label_mode": "soft", "defences": []}
    facts = made.manifest({("none", "soft"): bare, ("guard", "soft"): GUARD})
    return made.write_all(tmp_path / "study", rows, honest, caught, facts)
