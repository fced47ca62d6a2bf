"""A plan as it was sold, and what becomes of it on the steps of its ladder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attacker.lab.study.page.told import Document, Told, defences, detectors_of, kind_of, told

_MODE_FIELDS = ("label_mode", "top_k", "decimals", "temperature")
_RATE_FIELDS = ("rate_per_s", "burst")


@dataclass(frozen=True)
class Sold:
    """A plan with the number of labels of the victim that it sells."""

    document: Document
    labels: int | None = None
    """How many the victim knows, if known."""

    @property
    def kinds(self) -> list[str]:
        """Kinds of its defences, in order."""
        return [kind_of(one) for one in defences(self.document)]

    @property
    def detectors(self) -> tuple[str, ...]:
        """Kinds of what watches."""
        return detectors_of(self.document)

    @cached_property
    def told(self) -> Told:
        """What leaves under it."""
        return told(self.document, self.labels)

    def after(self, step: Mapping[str, Any]) -> "Sold":
        """Return the plan with a step of its ladder in force."""
        changes: dict[str, Any] = {}
        if kind_of(step) == "throttle":
            changes = {name: step.get(name) for name in _RATE_FIELDS}
        elif kind_of(step) == "degrade":
            chain = (*defences(self.document), *defences(step))
            changes = {"defences": chain}
            if step.get("label_mode") is not None:
                changes |= {name: step.get(name) for name in _MODE_FIELDS}
        return Sold({**self.document, **changes}, self.labels)


def acts(step: Mapping[str, Any], now: Sold, then: Sold) -> bool:
    """Return whether an account has less, or works more, with ``step`` in force."""
    if kind_of(step) == "throttle":
        return any(then.document[name] != now.document.get(name) for name in _RATE_FIELDS)
    if kind_of(step) != "degrade":
        return True
    more_work = "proof_of_work" in then.kinds and "proof_of_work" not in now.kinds
    more_hidden = len(then.told.hidden_by) > len(now.told.hidden_by)
    less_told = then.told.rank < now.told.rank
    return more_work or less_told or (more_hidden and then.told.rank <= now.told.rank)
