"""Defences for tests: one that draws noise, and ones that are broken."""

from typing import ClassVar, Literal

import numpy as np

from victim_service.defences.base import Defence, DefenceContext, DefenceSpec, Probabilities


class MixtureSpec(DefenceSpec):
    """Mixes each row with one that is drawn for it."""

    draws: ClassVar[bool] = True

    kind: Literal["mixture"] = "mixture"
    share: float = 0.5

    def build(self) -> "Mixture":
        return Mixture(self.share)


class Mixture(Defence):
    def __init__(self, share: float) -> None:
        self.share = share

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        classes = probabilities.shape[1]
        drawn = np.stack(
            [context.rng(row).dirichlet(np.ones(classes)) for row in range(len(probabilities))]
        )
        rows: Probabilities = ((1 - self.share) * probabilities + self.share * drawn).astype(
            np.float32
        )
        return rows


class StatefulSpec(DefenceSpec):
    """Flattens rows by a share that is the account's state."""

    kind: Literal["stateful"] = "stateful"

    def build(self) -> "Stateful":
        return Stateful()


class Stateful(Defence):
    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        share = np.float32(context.state or 0)
        probabilities *= 1 - share  # in place, as defences may
        probabilities += share / np.float32(probabilities.shape[1])
        return probabilities


class BrokenSpec(DefenceSpec):
    """Leaves the simplex in one of several ways."""

    kind: Literal["broken"] = "broken"
    how: str

    def build(self) -> "Broken":
        return Broken(self.how)


class Broken(Defence):
    def __init__(self, how: str) -> None:
        self.how = how

    def change(self, probabilities: Probabilities, context: DefenceContext) -> Probabilities:
        wrong = {
            "short": probabilities[:, :-1],
            "double": probabilities.astype(np.float64),
            "heavy": probabilities * np.float32(1.01),
            "nan": probabilities * np.float32(np.nan),
            "negative": np.where(np.arange(probabilities.shape[1]) == 0, -1, probabilities + 1),
        }
        return wrong[self.how].astype(np.float64 if self.how == "double" else np.float32)


TEST_DEFENCES: dict[str, type[DefenceSpec]] = {
    "mixture": MixtureSpec,
    "stateful": StatefulSpec,
    "broken": BrokenSpec,
}
