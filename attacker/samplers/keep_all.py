"""`keep_all`: every answer that was paid for is used."""

from typing import Literal

from attacker.samplers.base import Sampler, SamplerContext
from shared.config import Frozen


class KeepAllSpec(Frozen):
    """Keeps every answer."""

    kind: Literal["keep_all"] = "keep_all"

    def build(self, context: SamplerContext) -> Sampler:
        """Return the sampler."""
        return KeepAll(context)


class KeepAll(Sampler):
    """Sampler without caps."""

    def choose_caps(self, context: SamplerContext) -> None:
        """No label has a cap."""
        del context
