"""Whether a suspect learnt from a watermarked account: the triggers found again, and counted.

Nothing but the key is needed: the service's secret and what the answers were sold under. So the
owner can judge clips that the ledger never kept, and a thief who has the clips cannot tell which.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from victim_service.defences.base import Asked, DefenceSpec, clip_digests
from victim_service.defences.dawn import DawnSpec, keyed_labels

DECISION = 1e-6
"""A suspect that is innocent is accused with a smaller probability than this: our own choice, which
leaves room for the trial of a thousand accounts."""


@dataclass(frozen=True)
class Verdict:
    """What the triggers among the clips say about a suspect."""

    clips: int
    """Different clips that were looked at."""
    triggers: int
    agreements: int
    """Triggers on which the suspect answers the keyed label."""
    p_value: float
    """Probability that a model made without the key agrees as often, or more often."""

    @property
    def stolen(self) -> bool:
        """Whether chance is ruled out, at p < 1e-6."""
        return self.p_value < DECISION


def verify(
    specs: Sequence[DefenceSpec],
    asked: Asked,
    clips: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    classes: int,
) -> Verdict:
    """Return the verdict on a suspect that answers ``labels`` (B,) to ``clips`` (B, T).

    ``specs`` is the plan's chain, and ``asked`` tells whom and under what the clips were sold, as
    in the ledger: with the place of `dawn` in the chain, this makes the key. Take the clips that
    the account was seen to ask; clips that it never asked have triggers, too, which dilute what is
    found. When several accounts are tried, multiply the p-value by their number.

    Raises:
        ValueError: the chain has no `dawn`, or clips and labels do not fit one another.
    """
    found = [(place, spec) for place, spec in enumerate(specs) if isinstance(spec, DawnSpec)]
    if not found:
        raise ValueError("the chain has no `dawn`. Name the plan that the account was on")
    if labels.shape != (len(clips),) or not np.all((labels >= 0) & (labels < classes)):
        raise ValueError(
            f"{labels.shape} labels of {classes} classes do not fit {len(clips)} clips. "
            "Give one label, from 0 on, for each clip"
        )
    place, spec = found[0]
    # A clip counts once: repeating one is no further evidence.
    answers = dict(zip(clip_digests(clips), labels.tolist(), strict=True))
    context = asked.context(f"{place}:{spec.kind}", tuple(answers))
    keyed = keyed_labels(context, spec.rate, classes)
    told = np.array(list(answers.values()), dtype=np.int64)
    triggers, agreements = int((keyed >= 0).sum()), int((keyed == told).sum())
    return Verdict(len(answers), triggers, agreements, tail(triggers, agreements, 1 / classes))


def tail(trials: int, successes: int, rate: float) -> float:
    """Return the probability of at least ``successes`` in ``trials`` at ``rate`` (below 1) each."""
    if successes == 0:
        return 1.0
    terms = [
        math.lgamma(trials + 1)
        - math.lgamma(count + 1)
        - math.lgamma(trials - count + 1)
        + count * math.log(rate)
        + (trials - count) * math.log1p(-rate)
        for count in range(successes, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(term) for term in terms))
