"""How a plan is made to tell less: what comes on top works on what the account was told before.

The label mode becomes a link of the chain. So an answer of the narrower plan can be worked out from
that of the plan itself, by anybody, and shows nothing that this did not show.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.contract import LabelMode
from victim_service.defences import (
    DefenceSpec,
    check_forms,
    check_marks,
    check_temperatures,
    leaves,
)
from victim_service.defences.base import Form
from victim_service.defences.label_only import LabelOnlySpec
from victim_service.defences.rounding import RoundingSpec
from victim_service.defences.temperature import TemperatureSpec
from victim_service.defences.top_k import TopKSpec

if TYPE_CHECKING:
    from victim_service.plans import Plan

_RANKS: dict[LabelMode, int] = {"soft": 2, "temperature": 1, "rounded": 1, "top_k": 1, "hard": 0}
"""A mode may follow one of its own rank or above. Within a rank, what follows shortens further."""


def narrowed(plan: "Plan", added: Sequence[DefenceSpec], mode: Mapping[str, Any]) -> "Plan":
    """Return ``plan`` with the defences ``added`` to its answers and, unless empty, the label mode
    and its field in ``mode``.

    Raises:
        ValueError: it would claim to show more than ``plan``, or undo a defence of it or
            its watermark.
    """
    check_forms(added, *_told(plan))
    check_marks((*plan.defences, *added))
    before = folded(plan)
    after = before.model_copy(update={"defences": (*before.defences, *added), **mode})
    if mode:
        _check_mode(plan, after)
    check_temperatures(temperatures(after))
    return after


def folded(plan: "Plan") -> "Plan":
    """Return a plan that answers as ``plan`` does, its label mode a link of its chain.

    The mode itself stays, for the shape of answers, and changes nothing more.
    """
    link = _link(plan)
    if link is None:
        return plan
    changes: dict[str, Any] = {"defences": (*plan.defences, link)}
    if plan.temperature is not None:
        changes["temperature"] = 1.0
    return plan.model_copy(update=changes)


def _link(plan: "Plan") -> DefenceSpec | None:
    """Return the defence that does what the label mode of ``plan`` does; None where it is soft."""
    if plan.label_mode == "hard":
        return LabelOnlySpec()
    if plan.top_k is not None:
        return TopKSpec(k=plan.top_k)
    if plan.decimals is not None:
        return RoundingSpec(decimals=plan.decimals)
    if plan.temperature is not None:
        return TemperatureSpec(temperature=plan.temperature)
    return None


def _told(plan: "Plan") -> tuple[Form, str]:
    """Return what the answers of ``plan`` tell at most, and what took away the rest."""
    link = _link(plan)
    by_mode = f"label_mode {plan.label_mode}"
    return leaves(plan.defences, "soft" if link is None else link.gives, by_mode)


def one_label(plan: "Plan") -> str:
    """Return what makes answers of ``plan`` name a single label; empty where nothing does."""
    for spec in plan.defences:
        if _one_label(spec):
            return spec.kind
    link = _link(plan)
    return f"label_mode {plan.label_mode}" if link is not None and _one_label(link) else ""


def _one_label(spec: DefenceSpec) -> bool:
    return spec.gives in ("confidence", "label") or spec.leading == 1


def _check_mode(before: "Plan", after: "Plan") -> None:
    if _RANKS[after.label_mode] > _RANKS[before.label_mode]:
        raise ValueError(
            f"label_mode {after.label_mode} shows more than the {before.label_mode} before it. "
            "Leave it out, or set one that shows less"
        )
    if after.label_mode != before.label_mode:
        return
    if after.label_mode == "temperature":
        raise ValueError(
            "label_mode temperature after label_mode temperature would show what neither says. "
            "Set top_k, rounded or hard"
        )
    for name in ("top_k", "decimals"):
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None and new > old:
            raise ValueError(f"{name} {new} shows more than the {old} before it. Set {old} or less")


def temperatures(plan: "Plan") -> list[float]:
    """Return all temperatures that answers of ``plan`` go through, the label mode's last."""
    chain = [spec.temperature for spec in plan.defences if isinstance(spec, TemperatureSpec)]
    return chain if plan.temperature is None else [*chain, plan.temperature]
