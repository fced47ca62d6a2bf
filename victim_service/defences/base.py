"""What every defence is: a pure change of probabilities, its draws fixed by who asks and what.

The same clip under the same account, plan and checkpoint is defended alike, alone or in a batch,
after a restart and by another replica: a replay can be computed again, and asking twice averages
nothing.
"""

import hashlib
import hmac
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from shared.audio import plain_samples
from shared.config import Frozen

Probabilities = npt.NDArray[np.float32]
Form = Literal["soft", "coarse", "top", "confidence", "label"]
"""What rows tell, from most to least: every probability as it is; every probability, shortened;
those of the leading labels; the leading label and how sure the model is; the leading label."""
_OFF_SIMPLEX = 1e-5


@dataclass(frozen=True)
class DefenceContext:
    """What a defence may know of a query of B clips."""

    account: str
    clip_sha256: tuple[bytes, ...]
    """Digest of each clip (B), as :func:`clip_digests` makes it."""
    state: str
    """Defence state of the account when the query was first reserved."""
    key: bytes = field(repr=False)
    """Belongs to one defence of one account, plan version and checkpoint."""

    def rng(self, clip: int) -> np.random.Generator:
        """Return the stream of draws of one clip (0 to B - 1); each call starts it anew."""
        seed = hmac.digest(self.key, self.clip_sha256[clip], "sha256")
        return np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))


class DefenceSpec(Frozen, ABC):
    """Base of the specs: ``kind``, the fields of an idea, what it promises, and how it is built."""

    model_config = ConfigDict(strict=True)

    needs: ClassVar[Form] = "soft"
    """The least that rows must tell when they come in."""
    gives: ClassVar[Form] = "soft"
    """The most that they tell when they leave."""
    repeats: ClassVar[bool] = False
    """Whether two of the kind in one chain do what one cannot."""
    draws: ClassVar[bool] = False
    """Whether two clips with the same probabilities, or two accounts, may get different rows."""

    marks: ClassVar[bool] = False
    """Whether labels are wrong on purpose, for the owner to find again in what a thief's model
    says: no link after it may change a label."""

    kind: str

    @property
    def argmax_kept(self) -> bool:
        """Whether the most probable label is never another; ties go to the smaller label."""
        return False

    @property
    def leading(self) -> int | None:
        """How many probabilities of a row are still the model's own; None where all may be."""
        return None

    @property
    def l1_bound(self) -> float | None:
        """L1 distance that a row is moved by at most, in (0, 2]; None where there is no bound.

        It holds up to what float32 rounds off.
        """
        return None

    @abstractmethod
    def build(self) -> "Defence":
        """Return the defence."""


class Defence(ABC):
    """Changes what the model says before the label mode reduces it.

    The base class checks shapes and keeps rows on the simplex; an idea implements ``change``, as a
    pure function of its arguments, with all its draws from ``context.rng``.
    """

    @final
    def apply(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the defended rows (B, K) of ``probabilities`` (B, K), which are left as they are.

        Raises:
            ValueError: the defence is broken: its rows are no probabilities.
        """
        changed = self.change(probabilities.copy(), context)
        if changed.shape != probabilities.shape or changed.dtype != np.float32:
            raise ValueError(
                f"{type(self).__name__} made {changed.dtype} {changed.shape} of float32 "
                f"{probabilities.shape}. Mend its change()."
            )
        sums = changed.sum(axis=1, dtype=np.float64)
        # Written so that NaN fails, too.
        if not (np.all(changed >= 0) and np.all(np.abs(sums - 1) <= _OFF_SIMPLEX)):
            raise ValueError(f"{type(self).__name__} left the simplex. Mend its change().")
        return changed

    @abstractmethod
    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return float32 rows (B, K) on the simplex; ``probabilities`` may be written over."""


@dataclass(frozen=True)
class Asked:
    """Who asked, and under what: with the clip itself, this decides every draw."""

    secret: bytes = field(repr=False)
    """Of the service; all replicas share it."""
    account: str
    checkpoint: str
    plan: str
    plan_version: int
    state: str = ""

    def context(self, defence: str, clip_sha256: tuple[bytes, ...]) -> DefenceContext:
        """Return the context of the defence that is named ``defence`` within its plan."""
        parts = ("defence", self.account, self.checkpoint, self.plan, self.plan_version, defence)
        # Each part with its length: no two lists of parts read the same.
        text = "".join(f"{len(str(part))}:{part}" for part in parts)
        key = hmac.digest(self.secret, text.encode(), "sha256")
        return DefenceContext(self.account, clip_sha256, self.state, key)


def clip_digests(clips: npt.NDArray[np.float32]) -> tuple[bytes, ...]:
    """Return the SHA-256 of each decoded clip of ``clips`` (B, T).

    WAV, FLAC and npy of the same samples agree, and so do 0 and -0, which sound alike: a clip has
    one digest, however it is written.
    """
    return tuple(hashlib.sha256(row.data).digest() for row in plain_samples(clips))
