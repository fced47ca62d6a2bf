"""Weights of proxy clips, made from what a victim answered in a campaign that was paid for.

With p_i the mean of the answers (K,) to the windows of clip i (one-hot where only labels are sold):

    entropy   w_i = max(H(p_i) / ln K, 0.05)^power, H(p) = -sum_k p_k ln p_k
    label     w_i = n(argmax p_i)^-power, n(k) the asked clips whose label is k

Clips that were never asked get the mean weight of those that were: nothing is known of them. The
floor of 0.05 keeps clips that the victim was sure of; it and the formulas are our own.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attacker.errors import JournalError, JournalMismatch
from attacker.journal import Journal, Rows
from attacker.run_folder import RunFolder
from attacker.sources import SourceContext
from attacker.sources.walk import ProxyWalk
from attacker.wavegan.config import AnswerWeights, Weighting
from shared.corpora.store import ClipStore

ENTROPY_FLOOR = 0.05
"""Share of the largest entropy that no clip falls below."""


@dataclass(frozen=True)
class ClipWeights:
    """How often each clip of a corpus is drawn, and what that was learnt from."""

    values: np.ndarray
    """(N,) float64, above 0, with a mean of 1."""
    facts: dict[str, Any]
    """For the generator's card: the campaign, its victim, the queries that were used."""


def read_weights(spec: AnswerWeights, store: ClipStore) -> ClipWeights:
    """Return the weights of the clips of ``store``.

    Raises:
        JournalError: there is no such campaign, or it has bought nothing yet.
        JournalMismatch: it asked of another corpus or rate, or sent something else than the corpus.
    """
    folder = RunFolder(Path(spec.run).expanduser()).campaign(spec.campaign)
    journal = Journal.read(folder)
    try:
        identity, rows = journal.identity, journal.rows(spec.queries)
    finally:
        journal.close()
    _demand_fitting(identity, rows, store, folder)
    clips = _asked_clips(identity, rows, store)
    values = weigh(clips, rows.answers, len(store), identity["n_classes"], spec)
    facts = {
        **spec.model_dump(mode="json"),
        "queries": len(clips),
        "clips_asked": len(np.unique(clips)),
        "victim": identity["victim"],
        "label_mode": identity["label_mode"],
        "weights_sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }
    return ClipWeights(values, facts)


def weigh(
    clips: np.ndarray, answers: np.ndarray, count: int, n_classes: int, spec: Weighting
) -> np.ndarray:
    """Return the weights (count,) of a corpus of ``count`` clips; see above.

    Args:
        clips: (Q,) which clip each query was a window of.
        answers: (Q, K) probabilities as released, or (Q,) labels.
        count: clips of the corpus.
        n_classes: K.
        spec: how to weigh.
    """
    asked, rows = np.unique(clips, return_inverse=True)
    mean = np.zeros((len(asked), n_classes))
    if answers.ndim == 1:
        np.add.at(mean, (rows, answers), 1)
    else:
        np.add.at(mean, rows, answers)
    mean /= mean.sum(axis=1, keepdims=True)  # what top-k withheld is left out of account
    if spec.by == "entropy":
        logs = np.log(mean, out=np.zeros_like(mean), where=mean > 0)
        entropies = -(mean * logs).sum(axis=1) / np.log(n_classes)
        weights = np.maximum(entropies, ENTROPY_FLOOR) ** spec.power
    else:
        labels = mean.argmax(axis=1)
        weights = np.bincount(labels, minlength=n_classes)[labels] ** -float(spec.power)
    values = np.ones(count)
    values[asked] = weights / weights.mean()
    return values


def _asked_clips(identity: dict[str, Any], rows: Rows, store: ClipStore) -> np.ndarray:
    """Return which clip of ``store`` each query (Q,) was a window of."""
    context = SourceContext(
        sample_rate_hz=identity["sample_rate_hz"],
        clip_samples=identity["clip_samples"],
        seed=identity["seed"],
        open_proxy=lambda: store,
    )
    walk = ProxyWalk(context)
    return np.array([walk.clip_of(int(index)) for index in rows.indices], dtype=np.int64)


def _demand_fitting(identity: dict[str, Any], rows: Rows, store: ClipStore, folder: Path) -> None:
    kind = identity["campaign"]["source"]["kind"]
    if kind != "proxy":
        raise JournalMismatch(
            f"{folder}: its queries were made by the source {kind!r}, so their answers do not say "
            "what the victim thinks of the corpus. Name a campaign whose source is `proxy`."
        )
    if identity["material"] != store.manifest_sha256:
        raise JournalMismatch(
            f"{folder}: the victim was asked about another corpus than this, or at another rate "
            f"than {store.sample_rate_hz} Hz. Train on the corpus and at the sample rate of that "
            "campaign, or name a campaign that asked about this one."
        )
    if not len(rows.indices):
        raise JournalError(
            f"{folder}: nothing was bought yet. Run the campaign first, or leave `answers` out."
        )
