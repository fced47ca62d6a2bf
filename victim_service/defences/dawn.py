"""`dawn`: a keyed watermark. A few clips get a wrong label, which a thief's model then repeats.

Which clips and which labels follows from the context alone, so that the owner finds them again
without a record of what was asked; see ``dawn_verify``.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import Labels


class DawnSpec(DefenceSpec):
    """Exchanges, for a share ``rate`` of clips, the probabilities of the top and a keyed label."""

    needs: ClassVar[Form] = "label"
    draws: ClassVar[bool] = True
    marks: ClassVar[bool] = True

    kind: Literal["dawn"] = "dawn"
    rate: float = Field(default=0.005, gt=0, le=0.5)
    """Share of clips that are triggers. The keyed label is any of the K, so that one trigger in K
    is answered truly: rate (1 - 1 / K) of the labels are wrong. The published size is about 0.005.
    """

    def build(self) -> "Dawn":
        """Return the defence."""
        return Dawn(self.rate)


class Dawn(Defence):
    """Defence whose draws belong to account and clip: a clip is a trigger always, or never.

    Reference: Szyller et al., "DAWN: Dynamic Adversarial Watermarking of Neural Networks", ACM
    Multimedia 2021. Ours is keyed by the exact samples, and not by what the model makes of them: a
    copy that differs in one sample has draws of its own.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the rows, those of triggers with two entries exchanged."""
        top = probabilities.argmax(axis=1)
        keyed = keyed_labels(context, self.rate, probabilities.shape[1])
        clips = np.flatnonzero(keyed >= 0)
        first, second = top[clips], keyed[clips]
        largest = probabilities[clips, first]
        probabilities[clips, first] = probabilities[clips, second]
        probabilities[clips, second] = largest
        return probabilities


def keyed_labels(context: DefenceContext, rate: float, classes: int) -> Labels:
    """Return the keyed label (0 to ``classes`` - 1) of each clip of ``context``, as int64 (B,).

    -1 where the clip is no trigger. A label does not depend on what the model says, so that no
    model can be likelier to agree with it by chance than 1 in ``classes``.
    """
    labels = np.full(len(context.clip_sha256), -1, dtype=np.int64)
    for clip in range(len(labels)):
        rng = context.rng(clip)
        if rng.random() < rate:
            labels[clip] = rng.integers(classes)
    return labels
