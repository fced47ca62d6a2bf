"""What a service does at its start with plans that watch."""

import asyncio

import numpy as np
import pytest

from tests.support.victims import make_clips, make_victim
from victim_service.detectors import Reference, Seen
from victim_service.detectors.fitted import (
    FOLDER,
    Fit,
    Fitted,
    Thresholds,
    save_fitted,
    settings_of,
)
from victim_service.detectors.prada import PradaSpec
from victim_service.errors import StartError
from victim_service.model import Predictor
from victim_service.serve import build_parts
from victim_service.settings import Settings

PLAN = "name: watched\nlabel_mode: soft\ndetectors: [{{kind: prada, window: {}}}]\n"


def settings(folder, window=20, text=PLAN):
    plans = folder / "plans"
    plans.mkdir()
    (plans / "watched.yaml").write_text(text.format(window))
    return Settings(ledger=f"sqlite:///{folder / 'ledger.sqlite'}", plans=plans, workers=1)


def fit(checkpoint):
    """Write a reference of the victim's own, and a threshold for windows of 20."""
    predictor = Predictor(checkpoint, "cpu", 1)
    rows = predictor.predict(make_clips(40, predictor.card.clip_samples, seed=7))
    seen = Seen(rows[:, 5:], rows[:, :5], np.zeros((40, 0), np.float32))
    reference = Reference(seen, np.arange(40, dtype=np.int64) % 5, 4000)
    facts = {"windows": 9, "users": 3, "median": 0.1, "q999": 0.4, "highest": 0.4}
    spec = PradaSpec(window=20)
    one = Fit(settings=settings_of(spec), threshold=0.5, margin=0.1, profiles={}, **facts)
    document = Thresholds(
        checkpoint=predictor.card.checkpoint_id,
        sample_rate_hz=4000,
        target=0.001,
        seed=0,
        fits={"prada": one},
    )
    save_fitted(checkpoint / FOLDER, Fitted(reference, document))


def test_a_plan_with_detectors_needs_what_was_fitted(tmp_path):
    checkpoint = make_victim(tmp_path / "victim")
    with pytest.raises(StartError, match=r"plan watched: detector prada needs .* detectors fit"):
        build_parts(settings(tmp_path), checkpoint)


def test_another_window_than_was_fitted_is_refused(tmp_path):
    checkpoint = make_victim(tmp_path / "victim")
    fit(checkpoint)
    with pytest.raises(StartError, match=r"there is no threshold for .*30"):
        build_parts(settings(tmp_path, window=30), checkpoint)


def test_more_neighbours_than_the_reference_has_are_refused(tmp_path):
    checkpoint = make_victim(tmp_path / "victim")
    fit(checkpoint)
    seat = "{{kind: seat, window: {}, threshold: 0.1, neighbours: 40}}"
    text = PLAN.replace("{{kind: prada, window: {}}}", seat)
    with pytest.raises(StartError, match=r"seat: .* 40 clips .* without 40 neighbours"):
        build_parts(settings(tmp_path, text=text), checkpoint)


def test_what_was_fitted_is_loaded_with_the_services_secret(tmp_path):
    checkpoint = make_victim(tmp_path / "victim")
    fit(checkpoint)
    parts = build_parts(settings(tmp_path), checkpoint)
    assert parts.reference.reference.secret == parts.secret
    (sold,) = asyncio.run(parts.plan_book.all())
    (watcher,) = parts.observing.prepare(sold.plan)
    assert (watcher.kind, watcher.threshold) == ("prada", 0.5)
    parts.ledger.close()
