"""Defences: what is done to probabilities before they are released. One file each, one table."""

from functools import lru_cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, SerializeAsAny

from victim_service.defences.adaptive_misinformation import AdaptiveMisinformationSpec
from victim_service.defences.base import (
    Asked,
    Defence,
    DefenceContext,
    DefenceSpec,
    Probabilities,
    clip_digests,
)
from victim_service.defences.chain import (
    check_chain,
    check_forms,
    check_marks,
    check_release,
    check_repeats,
    check_temperatures,
    leaves,
)
from victim_service.defences.confidence_buckets import ConfidenceBucketsSpec
from victim_service.defences.dawn import DawnSpec
from victim_service.defences.deceptive_labels import DeceptiveLabelsSpec
from victim_service.defences.gradient_redirection import GradientRedirectionSpec
from victim_service.defences.label_only import LabelOnlySpec
from victim_service.defences.mad import MadSpec
from victim_service.defences.modelguard_s import ModelGuardSSpec
from victim_service.defences.modelguard_w import ModelGuardWSpec
from victim_service.defences.noise import NoiseSpec
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.defences.reverse_sigmoid import ReverseSigmoidSpec
from victim_service.defences.rounding import RoundingSpec
from victim_service.defences.temperature import TemperatureSpec
from victim_service.defences.top_k import TopKSpec
from victim_service.kinds import of_kind

DEFENCES: dict[str, type[DefenceSpec]] = {
    "adaptive_misinformation": AdaptiveMisinformationSpec,
    "confidence_buckets": ConfidenceBucketsSpec,
    "dawn": DawnSpec,
    "deceptive_labels": DeceptiveLabelsSpec,
    "gradient_redirection": GradientRedirectionSpec,
    "label_only": LabelOnlySpec,
    "mad": MadSpec,
    "modelguard_s": ModelGuardSSpec,
    "modelguard_w": ModelGuardWSpec,
    "noise": NoiseSpec,
    "proof_of_work": ProofOfWorkSpec,
    "reverse_sigmoid": ReverseSigmoidSpec,
    "rounding": RoundingSpec,
    "temperature": TemperatureSpec,
    "top_k": TopKSpec,
}


AnyDefenceSpec = Annotated[
    SerializeAsAny[DefenceSpec], BeforeValidator(of_kind(DEFENCES, DefenceSpec))
]
"""A field that holds the spec of any defence in the table."""


def defend(
    probabilities: Probabilities,
    clips: npt.NDArray[np.float32],
    specs: tuple[DefenceSpec, ...],
    asked: Asked,
) -> Probabilities:
    """Return what the chain ``specs`` makes of the model's rows (B, K) on ``clips`` (B, T)."""
    digests = clip_digests(clips) if specs else ()
    for place, spec in enumerate(specs):
        # Named by place as well: two of one kind draw independently.
        context = asked.context(f"{place}:{spec.kind}", digests)
        probabilities = _built(spec).apply(probabilities, context)
    return probabilities


@lru_cache(maxsize=64)
def _built(spec: DefenceSpec) -> Defence:
    return spec.build()


__all__ = [
    "DEFENCES",
    "AnyDefenceSpec",
    "Asked",
    "Defence",
    "DefenceContext",
    "DefenceSpec",
    "check_chain",
    "check_forms",
    "check_marks",
    "check_release",
    "check_repeats",
    "check_temperatures",
    "clip_digests",
    "defend",
    "leaves",
]
