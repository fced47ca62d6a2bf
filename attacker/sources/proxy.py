"""`proxy`: windows of the proxy corpus as they are, the baseline."""

from typing import Literal

import numpy as np

from attacker.sources.base import Source, SourceContext
from attacker.sources.walk import ProxyWalk
from shared.config import Frozen


class ProxySpec(Frozen):
    """Sends random windows of the proxy corpus, every clip once before any comes again."""

    kind: Literal["proxy"] = "proxy"

    def build(self, context: SourceContext) -> Source:
        """Return the source."""
        return ProxySource(context)


class ProxySource(Source):
    """Windows of the proxy corpus."""

    def __init__(self, context: SourceContext) -> None:
        super().__init__(context, "proxy")
        self.walk = ProxyWalk(context)
        self.material = self.walk.material

    def make(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Return the window of query ``index``."""
        del rng
        return self.walk.window(index)
