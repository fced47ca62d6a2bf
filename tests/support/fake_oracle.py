"""A victim in this process: answers are a pure function of the clip, and a ledger counts clips."""

import asyncio
import hashlib
from dataclasses import dataclass, field

import numpy as np

from attacker.errors import BudgetExhausted, KeyReused
from shared.contract import AccountStatus, LabelMode, ModelCard

RATE_HZ, SAMPLES = 4000, 256


@dataclass
class FakeOracle:
    """Answers with probabilities drawn from the clip's own hash, in a scrambled order of time."""

    n_classes: int = 4
    label_mode: LabelMode = "soft"
    top_k: int | None = None
    budget: int | None = None
    max_batch_clips: int = 256
    burst: int | None = None
    skew: float = 1.0
    """How unequal the labels are: 0 is uniform."""
    slow: bool = True
    charged: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By idempotency key: hash of the clips, and how many."""
    sent: list[str] = field(default_factory=list)
    """The key of each request, in the order of arrival."""

    @property
    def spent(self) -> int:
        """Clips charged."""
        return sum(count for _, count in self.charged.values())

    async def card(self) -> ModelCard:
        """Return the victim's card."""
        return ModelCard(
            labels=[f"s{number}" for number in range(self.n_classes)],
            sample_rate_hz=RATE_HZ,
            clip_samples=SAMPLES,
            label_mode=self.label_mode,
            top_k=self.top_k,
            checkpoint="fake",
            max_batch_clips=self.max_batch_clips,
        )

    async def account(self) -> AccountStatus:
        """Return the account."""
        return AccountStatus(
            account="alice",
            plan=self.label_mode,
            budget=self.budget,
            spent=self.spent,
            remaining=None if self.budget is None else self.budget - self.spent,
            rate_per_s=None,
            burst=self.burst,
        )

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        """Charge once for a key, then answer after a while that the key decides."""
        self.sent.append(key)
        payload = hashlib.sha256(clips.tobytes()).hexdigest()
        if key in self.charged and self.charged[key][0] != payload:
            raise KeyReused("other bytes")
        if key not in self.charged:
            remaining = None if self.budget is None else self.budget - self.spent
            if remaining is not None and remaining < len(clips):
                raise BudgetExhausted(f"{remaining} clips left", remaining=remaining)
            self.charged[key] = (payload, len(clips))
        if self.slow:
            await asyncio.sleep(int(hashlib.sha256(key.encode()).hexdigest(), 16) % 5 / 1000)
        return self.answers(clips)

    async def close(self) -> None:
        """Nothing is open."""

    def answers(self, clips: np.ndarray) -> np.ndarray:
        """Return the answers (B, K) or (B,) to ``clips`` (B, T) int16."""
        rows = np.stack([self._row(clip) for clip in clips])
        if self.label_mode == "hard":
            labels: np.ndarray = rows.argmax(axis=1)
            return labels
        if self.label_mode == "top_k" and self.top_k is not None:
            floor = np.sort(rows, axis=1)[:, -self.top_k][:, None]
            rows = np.where(rows >= floor, rows, 0)
        if self.label_mode == "rounded":
            tenths = np.floor(rows * 10)
            top = rows.argmax(axis=1)
            tenths[np.arange(len(rows)), top] += 10 - tenths.sum(axis=1)
            rows = (tenths / 10).astype(np.float32)
        if self.label_mode == "temperature":
            rows = np.sqrt(rows) / np.sqrt(rows).sum(axis=1, keepdims=True)
        return rows

    def _row(self, clip: np.ndarray) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(clip.tobytes()).digest()[:8], "big")
        logits = np.random.default_rng(seed).normal(0, 2, self.n_classes)
        logits -= self.skew * np.arange(self.n_classes)
        row: np.ndarray = np.exp(logits) / np.exp(logits).sum()
        return row.astype(np.float32)
