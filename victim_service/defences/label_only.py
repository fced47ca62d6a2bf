"""`label_only`: a row that tells the most probable label, and nothing else."""

from typing import ClassVar, Literal

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Form, Probabilities
from victim_service.defences.simplex import one_hot


class LabelOnlySpec(DefenceSpec):
    """Answers 1 for the most probable label, in the shape that soft answers have."""

    needs: ClassVar[Form] = "confidence"
    gives: ClassVar[Form] = "label"

    kind: Literal["label_only"] = "label_only"

    @property
    def argmax_kept(self) -> bool:
        """Always."""
        return True

    def build(self) -> "LabelOnly":
        """Return the defence."""
        return LabelOnly()


class LabelOnly(Defence):
    """Defence that draws nothing.

    Reference: Tramèr et al., "Stealing Machine Learning Models via Prediction APIs", USENIX
    Security 2016, section 6 (class labels only).
    """

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        """Return one-hot rows."""
        del context
        return one_hot(probabilities.argmax(axis=1), probabilities.shape[1])
