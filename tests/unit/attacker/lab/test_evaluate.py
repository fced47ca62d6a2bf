import dataclasses
from pathlib import Path

import numpy as np
import pytest

from attacker.lab.bundle import BundleError
from attacker.lab.evaluate import Cache, evaluate
from tests.support.lab_world import Models, bundle, campaign, run


def test_every_mark_is_scored_and_compared_at_equal_queries(tmp_path: Path) -> None:
    wavegan = campaign("wavegan", source="wavegan")
    shifted = dataclasses.replace(
        wavegan,
        surrogates=(
            *wavegan.surrogates[:1],
            dataclasses.replace(wavegan.surrogates[1], queries=250),
        ),
    )
    models = Models(bundle(), {"proxy-only": 0.3, "wavegan": 0.9})
    found = evaluate(
        run(tmp_path, campaign(), shifted),
        bundle(),
        ask=models.ask,
        predict=models.predict,
        resamples=100,
    ).results
    assert found.baseline == "proxy-only"
    assert [mark.queries for mark in found.campaign("wavegan").marks] == [100, 250]
    assert [(item.campaign, item.queries) for item in found.comparisons] == [("wavegan", 100)]
    assert found.comparisons[0].accuracy_verdict == "above"
    assert found.queries == 600


def test_a_second_evaluation_asks_nobody_and_says_the_same(tmp_path: Path) -> None:
    models = Models(bundle())
    record = run(tmp_path)
    first, second = (
        evaluate(record, bundle(), ask=models.ask, predict=models.predict, resamples=100)
        for _ in range(2)
    )
    assert models.calls.count("victim") == 1
    assert len(models.calls) == 1 + 6
    assert first.results == second.results


def test_after_a_kill_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    models = Models(bundle())
    record = run(tmp_path)

    def killed(folder: Path, clips: np.ndarray) -> np.ndarray:
        if len(models.calls) == 4:
            raise KeyboardInterrupt
        return models.predict(folder, clips)

    with pytest.raises(KeyboardInterrupt):
        evaluate(record, bundle(), ask=models.ask, predict=killed, resamples=10)
    evaluate(record, bundle(), ask=models.ask, predict=models.predict, resamples=10)
    assert len(models.calls) == len(set(models.calls)) == 7


def test_another_bundle_is_asked_anew(tmp_path: Path) -> None:
    first, second = bundle(), dataclasses.replace(bundle(), sha256="e" * 64)
    models = Models(first)
    for ruler in (first, second):
        evaluate(run(tmp_path), ruler, ask=models.ask, predict=models.predict, resamples=10)
    assert models.calls.count("victim") == 2


def test_a_cache_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path, bundle())
    rows = np.full((120, 6), 1 / 6, np.float32)
    cache.remember("c" * 64, lambda: rows)
    path = cache.path("c" * 64)
    path.write_bytes(path.read_bytes()[:100])
    assert not cache.holds("c" * 64)
    assert np.array_equal(cache.remember("c" * 64, lambda: rows), rows)
    assert cache.holds("c" * 64)


@pytest.mark.parametrize(
    "rows", [np.zeros((119, 6)), np.full((120, 6), np.nan), np.zeros(120)], ids=str
)
def test_answers_of_another_model_are_refused_and_not_kept(
    tmp_path: Path, rows: np.ndarray
) -> None:
    cache = Cache(tmp_path, bundle())
    with pytest.raises(ValueError, match="Check that it is the model of this run"):
        cache.remember("c" * 64, lambda: rows)
    assert not cache.holds("c" * 64)


def test_the_bundle_of_another_victim_is_refused_before_anyone_is_asked(tmp_path: Path) -> None:
    models = Models(bundle())
    other = dataclasses.replace(bundle(), checkpoint="a" * 64)
    with pytest.raises(BundleError, match="the victim that this run attacked"):
        evaluate(run(tmp_path), other, ask=models.ask, predict=models.predict)
    assert models.calls == []


def test_a_run_without_surrogates_or_baseline_has_results(tmp_path: Path) -> None:
    bare = campaign("noise", source="gaussian_noise", surrogates=())
    models = Models(bundle())
    found = evaluate(
        run(tmp_path, bare), bundle(), ask=models.ask, predict=models.predict, resamples=10
    )
    assert found.results.baseline is None
    assert found.results.comparisons == ()
    assert found.results.campaigns[0].last is None
    assert found.agreement == {}
