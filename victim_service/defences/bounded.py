"""What defences within an L1 budget have in common: their settings, and what they promise."""

from pydantic import Field

from victim_service.defences.base import DefenceSpec, Probabilities
from victim_service.defences.simplex import Labels, Rows, let_lead, pull_near, released


class BoundedSpec(DefenceSpec):
    """Base of the specs that move each row by an L1 distance of up to ``epsilon``."""

    epsilon: float = Field(gt=0, le=2)

    @property
    def l1_bound(self) -> float:
        """``epsilon``."""
        return self.epsilon


class HeldSpec(DefenceSpec):
    """Base of the specs whose rows are moved freely, and then held to what is set here."""

    epsilon: float | None = Field(default=None, gt=0, le=2)
    """L1 distance that a row is moved by at most."""
    preserve_argmax: bool
    """Whether the most probable label gets the largest entry, in exchange for its own."""

    @property
    def argmax_kept(self) -> bool:
        """As the spec says."""
        return self.preserve_argmax

    @property
    def l1_bound(self) -> float | None:
        """``epsilon``."""
        return self.epsilon

    def hold(self, moved: Rows, rows: Rows, top: Labels) -> Probabilities:
        """Return what is released of ``moved`` (B, K), which may be written over.

        ``rows`` (B, K) are the model's own, and ``top`` (B,) their most probable labels.
        """
        if self.epsilon is not None:
            moved = pull_near(moved, rows, self.epsilon)
        if not self.preserve_argmax:
            return released(moved)
        return released(let_lead(moved, top), top)
