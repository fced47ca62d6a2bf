"""Weights of proxy clips out of a journal that a campaign left."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from attacker.errors import JournalError, JournalMismatch
from attacker.journal import Journal
from attacker.sources import SourceContext
from attacker.sources.walk import ProxyWalk
from attacker.wavegan.answer_weights import ENTROPY_FLOOR, read_weights, weigh
from attacker.wavegan.config import AnswerWeights
from shared.corpora.store import ClipStore

K, QUERIES, SEED = 3, 20, 11


def spec(run: Path | str = "run", **changes: Any) -> AnswerWeights:
    return AnswerWeights.model_validate({"run": str(run), "campaign": "proxy-only", **changes})


def write_journal(
    run: Path,
    store: ClipStore,
    *,
    kind: str = "proxy",
    material: str | None = None,
    label_mode: str = "soft",
    queries: int = QUERIES,
    keep: bool = True,
) -> np.ndarray:
    """Leave a journal of a campaign; return the answers (Q, K) or (Q,)."""
    identity = {
        "campaign": {"name": "proxy-only", "source": {"kind": kind}},
        "seed": SEED,
        "material": material or store.manifest_sha256,
        "victim": "victim-hash",
        "label_mode": label_mode,
        "n_classes": K,
        "sample_rate_hz": store.sample_rate_hz,
        "clip_samples": 256,
    }
    answers: np.ndarray = np.random.default_rng(0).dirichlet(np.ones(K) / 2, queries)
    answers = answers.argmax(1) if label_mode == "hard" else answers.astype(np.float32)
    journal = Journal.open(run / "proxy-only", identity)
    for first in range(0, queries, 10):
        part = answers[first : first + 10]
        batch = journal.plan(iteration=1, first_index=first, clips=len(part), payload_sha256="x")
        journal.answer(batch, part)
        labels = part if part.ndim == 1 else part.argmax(axis=1)
        journal.observe(batch, labels, np.full(len(part), keep))
    journal.close()
    return answers


def clips_of(store: ClipStore, queries: int = QUERIES) -> list[int]:
    walk = ProxyWalk(SourceContext(store.sample_rate_hz, 256, SEED, lambda: store))
    return [walk.clip_of(index) for index in range(queries)]


def by_hand(store: ClipStore, answers: np.ndarray) -> np.ndarray:
    """The entropy of each clip's mean answer over ln K, in the plainest way."""
    asked: dict[int, list[np.ndarray]] = {}
    for clip, answer in zip(clips_of(store, len(answers)), answers, strict=True):
        asked.setdefault(clip, []).append(answer)
    found = {}
    for clip, given in asked.items():
        p = np.mean(given, axis=0)
        found[clip] = -sum(x * np.log(x) for x in p if x > 0) / np.log(K)
    raw = np.array([max(found[clip], ENTROPY_FLOOR) for clip in sorted(found)])
    weights = np.ones(len(store))
    weights[sorted(found)] = raw / raw.mean()
    return weights


def test_unsure_clips_weigh_as_much_as_their_entropy(store: ClipStore, tmp_path: Path) -> None:
    answers = write_journal(tmp_path, store)
    weights = read_weights(spec(tmp_path), store)
    np.testing.assert_allclose(weights.values, by_hand(store, answers), rtol=1e-6)
    assert len(set(clips_of(store))) == len(store)  # all were asked, some of them twice


def test_what_the_sampler_threw_away_was_paid_for_too(store: ClipStore, tmp_path: Path) -> None:
    write_journal(tmp_path / "kept", store)
    write_journal(tmp_path / "thrown", store, keep=False)
    one, other = (read_weights(spec(tmp_path / name), store) for name in ("kept", "thrown"))
    assert np.array_equal(one.values, other.values)


def test_the_card_tells_what_was_learnt_from(store: ClipStore, tmp_path: Path) -> None:
    write_journal(tmp_path, store)
    facts = read_weights(spec(tmp_path, queries=7, power=2), store).facts
    digest = facts.pop("weights_sha256")
    assert facts == {
        "run": str(tmp_path),
        "campaign": "proxy-only",
        "by": "entropy",
        "power": 2.0,
        "queries": 7,
        "clips_asked": 7,
        "victim": "victim-hash",
        "label_mode": "soft",
    }
    others = [read_weights(spec(tmp_path, queries=7, power=power), store) for power in (2, 3)]
    assert [other.facts["weights_sha256"] == digest for other in others] == [True, False]


def test_clips_that_were_never_asked_get_the_mean(store: ClipStore, tmp_path: Path) -> None:
    answers = write_journal(tmp_path, store, queries=5)
    weights = read_weights(spec(tmp_path), store).values
    asked = clips_of(store, 5)
    others = sorted(set(range(len(store))) - set(asked))
    assert (weights[others] == 1).all()
    assert weights[asked].mean() == pytest.approx(1)
    assert weights[asked].std() > 0.1
    np.testing.assert_allclose(weights, by_hand(store, answers), rtol=1e-6)


def test_labels_alone_give_the_entropy_of_a_clips_windows(store: ClipStore, tmp_path: Path) -> None:
    labels = write_journal(tmp_path, store, label_mode="hard")
    weights = read_weights(spec(tmp_path), store).values
    np.testing.assert_allclose(weights, by_hand(store, np.eye(K)[labels]), rtol=1e-6)


def test_balance_gives_every_label_the_same_weight_in_all() -> None:
    clips, answers = np.arange(8), np.array([0, 0, 0, 0, 0, 1, 1, 2])
    weights = weigh(clips, answers, 10, K, spec(by="label"))
    per_label = [weights[:8][answers == label].sum() for label in range(K)]
    assert per_label == pytest.approx([8 / 3] * K)
    assert weights[8:].tolist() == [1, 1]
    half = weigh(clips, answers, 10, K, spec(by="label", power=0.5))
    assert half[7] / half[0] == pytest.approx(5**0.5)


def test_a_negative_power_prefers_what_the_victim_is_sure_of() -> None:
    answers = np.array([[1.0, 0, 0], [0.4, 0.3, 0.3]])
    plain, turned = (weigh(np.arange(2), answers, 2, K, spec(power=power)) for power in (1.0, -1.0))
    assert plain[0] < plain[1]
    assert turned[0] > turned[1]
    assert (weigh(np.arange(2), answers, 2, K, spec(power=0)) == 1).all()
    assert np.isfinite(turned).all()  # a clip of no entropy at all has the floor's weight
    assert plain[1] / plain[0] == pytest.approx(0.99 / ENTROPY_FLOOR, rel=0.01)


def test_answers_of_top_k_are_taken_without_what_was_withheld() -> None:
    shown = weigh(np.arange(2), np.array([[0.5, 0, 0], [0.3, 0.3, 0]]), 2, K, spec())
    whole = weigh(np.arange(2), np.array([[1.0, 0, 0], [0.5, 0.5, 0]]), 2, K, spec())
    assert shown == pytest.approx(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "amplify"}, "made by the source 'amplify'.*source is `proxy`"),
        ({"material": "0" * 64}, "another corpus than this.*or name a campaign"),
        ({"queries": 0}, "nothing was bought yet.*Run the campaign first"),
    ],
)
def test_a_journal_that_does_not_fit_is_refused(
    store: ClipStore, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write_journal(tmp_path, store, **changes)
    with pytest.raises(JournalError, match=words):
        read_weights(spec(tmp_path), store)
    assert issubclass(JournalMismatch, JournalError)


def test_a_run_that_is_not_there_is_named(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"nowhere.*earshot-attacker run"):
        read_weights(spec(tmp_path / "nowhere"), store)


@pytest.mark.parametrize("wrong", [{"by": "size"}, {"power": 9}, {"queries": 0}, {"victim": "v"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        spec(**wrong)
