"""`chain`: proxy windows through several alterations, one after the other."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from attacker.sources.altered import AlteredSource
from attacker.sources.base import Source, SourceContext
from attacker.sources.links import LinkSpec
from shared.config import Frozen

LINKS: tuple[str, ...] = tuple(spec.model_fields["kind"].default for spec in get_args(LinkSpec))
"""The kinds that may be a link."""


def _demand_link(data: Any) -> Any:
    kind = data.get("kind", LINKS[0]) if isinstance(data, dict) else LINKS[0]
    if kind not in LINKS:
        raise ValueError(
            f"{kind!r} cannot be a link of a chain, which alters windows of the proxy corpus. "
            f"Name one of {', '.join(LINKS)}, or make it the source of a campaign of its own"
        )
    return data


Link = Annotated[LinkSpec, Field(discriminator="kind"), BeforeValidator(_demand_link)]


class ChainSpec(Frozen):
    """Sends windows of the proxy corpus that go through each of ``links``, the first one first.

    ``links: [{kind: speed}, {kind: amplify, max_gain: 3, probability: 0.5}]`` changes the speed of
    every window and then the level of half of them. Clipping to [-1, 1] follows on every link.
    """

    kind: Literal["chain"] = "chain"
    links: tuple[Link, ...] = Field(min_length=1, max_length=8)
    """The alterations, as they would be written as sources; a kind may come more than once."""

    def build(self, context: SourceContext) -> Source:
        """Return the source.

        Raises:
            SourceMismatch: a link cannot be made at the victim's sample rate.
        """
        return AlteredSource(context, "chain", self.links)
