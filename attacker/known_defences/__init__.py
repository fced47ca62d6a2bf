"""What an attacker takes a known defence to do. One file each, one line of the table.

These are the attacker's models of defences, made from what is published of them: a map from the
model's probabilities to the released ones. The victim's own code is not asked.
"""

from typing import Annotated, Any, get_args

from pydantic import Discriminator, Field, Tag

from attacker.known_defences.base import KnownDefence
from attacker.known_defences.reverse_sigmoid import KnownReverseSigmoid
from attacker.known_defences.rounding import KnownRounding
from attacker.known_defences.temperature import KnownTemperature

AnyKnownDefence = KnownRounding | KnownTemperature | KnownReverseSigmoid

KNOWN_DEFENCES: dict[str, type[KnownDefence]] = {
    spec.model_fields["kind"].default: spec for spec in get_args(AnyKnownDefence)
}


def _what_is_said(data: Any) -> str:
    return "known" if isinstance(data, dict | KnownDefence) else "whether"


DefenceKnowledge = Annotated[
    Annotated[bool, Tag("whether")]
    | Annotated[Annotated[AnyKnownDefence, Field(discriminator="kind")], Tag("known")],
    Discriminator(_what_is_said),
]
"""A field that grants knowledge of a defence: whether there is any, or what exactly it does."""

__all__ = ["KNOWN_DEFENCES", "AnyKnownDefence", "DefenceKnowledge", "KnownDefence"]
