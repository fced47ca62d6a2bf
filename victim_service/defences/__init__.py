"""Defences: what is done to probabilities before they are released. One file each, one table."""

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, SerializeAsAny

from shared.config import validate
from victim_service.defences.base import (
    Asked,
    Defence,
    DefenceContext,
    DefenceSpec,
    Probabilities,
    clip_digests,
)
from victim_service.defences.rounding import RoundingSpec

DEFENCES: dict[str, type[DefenceSpec]] = {
    "rounding": RoundingSpec,  # the trivial one
}


def _of_its_kind(data: Any) -> Any:
    if isinstance(data, DefenceSpec):
        return data
    kind = data.get("kind") if isinstance(data, dict) else None
    spec = DEFENCES.get(kind) if isinstance(kind, str) else None
    if spec is None:
        valid = ", ".join(sorted(DEFENCES))
        raise ValueError(f"unknown kind {kind!r}; valid kinds: {valid}. Write one of these")
    return validate(data, spec, origin=str(kind))


AnyDefenceSpec = Annotated[SerializeAsAny[DefenceSpec], BeforeValidator(_of_its_kind)]
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
    "clip_digests",
    "defend",
]
