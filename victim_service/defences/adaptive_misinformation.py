"""`adaptive_misinformation`: the less sure the model is, the more of the answer is misleading."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Probabilities
from victim_service.defences.simplex import Labels, Rows, exact, released


class AdaptiveMisinformationSpec(DefenceSpec):
    """Mixes rows whose largest probability is below ``tau`` with ones that mislead.

    How sure the model is stands for how usual the clip is: published victims are trained to be
    unsure of what is not speech of their speakers (outlier exposure). Ours are not, so that unsure
    answers about real speech are spoilt with the rest; choose ``tau`` by what honest users lose.
    """

    draws: ClassVar[bool] = True

    kind: Literal["adaptive_misinformation"] = "adaptive_misinformation"
    tau: float = Field(gt=0, le=1)
    """Largest probability at which half of the answer misleads."""
    nu: float = Field(default=1000.0, gt=0, le=1e6)
    """Steepness: at ``tau`` +- 5 / nu, 0.7 or 99.3 % of the answer misleads. Our own choice among
    the published ones."""

    def build(self) -> "AdaptiveMisinformation":
        """Return the defence."""
        return AdaptiveMisinformation(self.tau, self.nu)


class AdaptiveMisinformation(Defence):
    """Defence whose misleading rows belong to account and clip.

    Reference: Kariyappa and Qureshi, "Defending Against Model Stealing Attacks with Adaptive
    Misinformation", CVPR 2020 (equations 4 and 5). There, a second model that is trained to be
    wrong misleads; here, the model's own probabilities, dealt out to other labels by a keyed draw.
    """

    def __init__(self, tau: float, nu: float) -> None:
        self.tau = tau
        self.nu = nu

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return the mixed rows."""
        rows, top = exact(probabilities), probabilities.argmax(axis=1)
        share = misled_share(rows.max(axis=1, keepdims=True), self.tau, self.nu)
        return released((1 - share) * rows + share * misleading(rows, top, context))


def misled_share(sureness: Rows, tau: float, nu: float) -> Rows:
    """Return the share of misinformation, 1 / (1 + exp(nu (s - tau))), for each s."""
    share: Rows = (1 - np.tanh(nu * (sureness - tau) / 2)) / 2  # the same, and never overflows
    return share


def misleading(rows: Rows, top: Labels, context: DefenceContext) -> Rows:
    """Return rows (B, K) that are as sure as ``rows``, but of another label.

    The probabilities are dealt out by lot, but the largest never to the label ``top`` (B,). It does
    not get the least either: a thief who knows the defence would take the least likely label.
    """
    classes = rows.shape[1]
    ascending = np.sort(rows, axis=1)
    dealt = np.empty_like(rows)
    for clip, label in enumerate(top):
        rng = context.rng(clip)
        places = rng.permutation(classes)
        if places[label] == classes - 1:
            other = (label + rng.integers(1, classes)) % classes
            places[label], places[other] = places[other], places[label]
        dealt[clip] = ascending[clip, places]
    return dealt
