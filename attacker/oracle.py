"""The victim as the attacker sees it."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from attacker.errors import BadAnswer
from shared.contract import AccountStatus, ModelCard

OnEvent = Callable[[str, dict[str, Any]], None]
"""Called as (``refusal``, ``retry`` or ``proof``, what is known of it) for all but an answer, and
as ``labels-only`` for answers that tell less than the victim's card says."""


class Oracle(Protocol):
    """Anything that labels clips: the service over HTTP, or a function in a test."""

    async def card(self) -> ModelCard:
        """Return what the victim says of itself."""
        ...

    async def account(self) -> AccountStatus:
        """Return what the key's account may still spend."""
        ...

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        """Buy answers to ``clips`` (B, T) int16 under idempotency key ``key``.

        Returns (B, K) float32 probabilities, zero where withheld, or (B,) int64 labels in hard
        mode.

        Raises:
            RateLimited: the plan sells no more for longer than the client waits; nothing was paid.
            OracleError: the victim refused, or could not be reached.
        """
        ...

    async def close(self) -> None:
        """End all connections."""
        ...


def labels_of(answers: np.ndarray) -> np.ndarray:
    """Return the most probable label (B,) of answers (B, K), or hard answers (B,) themselves."""
    labels: np.ndarray = answers if answers.ndim == 1 else answers.argmax(axis=1)
    return labels.astype(np.int64)


def as_rows(answers: np.ndarray, n_classes: int) -> np.ndarray:
    """Return answers as probabilities (N, K): a label (N,) is sure of itself."""
    if answers.ndim == 2:
        return answers
    rows: np.ndarray = np.eye(n_classes, dtype=np.float32)[answers]
    return rows


def are_labels(answers: np.ndarray) -> bool:
    """Say whether ``answers`` look like those of hard mode."""
    return answers.ndim == 1 and answers.dtype.kind == "i"


def check_answers(answers: np.ndarray, *, clips: int, card: ModelCard) -> np.ndarray:
    """Return ``answers`` in the type that their label mode has.

    A victim that grows suspicious may tell an account labels alone, whatever its card says; each
    is then all that is known of its clip, and is returned as a probability of 1.

    Raises:
        BadAnswer: wrong shape or type, NaN, a probability outside [0, 1], or an unknown label.
    """
    advice = "Nothing of it was used. Check the victim's version, then resume."
    k = len(card.labels)
    if card.label_mode == "hard" or are_labels(answers):
        if answers.shape != (clips,) or answers.dtype.kind != "i":
            found = f"{answers.dtype} {answers.shape}"
            raise BadAnswer(f"the victim answered {found}, not {clips} labels. {advice}")
        if answers.min() < 0 or answers.max() >= k:
            raise BadAnswer(f"the victim answered a label outside [0, {k}). {advice}")
        labels = answers.astype(np.int64)
        return labels if card.label_mode == "hard" else as_rows(labels, k)
    if answers.shape != (clips, k) or answers.dtype.kind != "f":
        found = f"{answers.dtype} {answers.shape}"
        raise BadAnswer(f"the victim answered {found}, not ({clips}, {k}) floats. {advice}")
    if not np.isfinite(answers).all() or answers.min() < 0 or answers.max() > 1 + 1e-4:
        raise BadAnswer(f"the victim answered values that are no probabilities. {advice}")
    if (answers.max(axis=1) <= 0).any():
        raise BadAnswer(f"the victim answered a clip with nothing but zeros. {advice}")
    return answers.astype(np.float32)
