"""Which requirements against model extraction a plan covers, decided from its fields.

Reference: OWASP Artificial Intelligence Security Verification Standard. Section C11.5 of the drafts
became C11.3 (and 11.2.2) in version 1.0 of 2026; both numbers are given. The wording here is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Cover = Literal["covered", "in part", "not covered"]
Finding = tuple[Cover, str]
Document = Mapping[str, Any]

_QUOTAS = ("budget", "account_budget", "daily_budget", "rate_per_s")
_COARSE_MODES = {"hard": "hard labels", "top_k": "top k", "rounded": "rounded"}
_COARSE_KINDS = ("label_only", "top_k", "rounding", "confidence_buckets")


@dataclass(frozen=True)
class Requirement:
    """One row of the standard."""

    draft: str
    """Its number in section C11.5 of the drafts."""
    number: str
    """Its number in version 1.0; empty where it is in neither C11.2 nor C11.3 there."""
    level: int
    asks: str
    """What it asks for, in our words."""
    find: Callable[[Document], Finding]
    """By a plan's document, whether it is covered, and by which fields."""


def _rates(plan: Document) -> Finding:
    own = [name for name in _QUOTAS if plan.get(name) is not None]
    if not own:
        return "not covered", "no budget and no rate is part of the plan"
    return (
        "in part",
        f"each key or account is held by {', '.join(own)}; the cap over all of them is a setting "
        "of the service, and not of a plan",
    )


def _metadata(plan: Document) -> Finding:
    if not _detectors(plan):
        return "not covered", "nothing watches, so there is no alert"
    return "covered", "every reading keeps account, detector, queries seen, score and threshold"


def _analysis(plan: Document) -> Finding:
    kinds = _detectors(plan)
    return ("covered", f"detectors {', '.join(kinds)}") if kinds else ("not covered", "no detector")


def _outputs(plan: Document) -> Finding:
    mode = str(plan.get("label_mode"))
    coarse = [kind for kind in _kinds(plan) if kind in _COARSE_KINDS]
    if mode in _COARSE_MODES:
        return "covered", f"label mode {mode}"
    if coarse:
        return "covered", f"{', '.join(coarse)} in the chain"
    if _kinds(plan):
        return "in part", f"all probabilities leave, changed by {', '.join(_kinds(plan))}"
    return "not covered", f"label mode {mode} without a defence tells all probabilities"


def _watermark(plan: Document) -> Finding:
    if "dawn" in _kinds(plan):
        return "covered", "dawn in the chain, with its verifier"
    return "not covered", "no watermark in the chain"


def _response(plan: Document) -> Finding:
    ladder = plan.get("ladder") or {}
    steps = [str(step.get("kind")) for step in ladder.get("steps") or ()]
    if not _detectors(plan):
        return "not covered", "nothing watches, so nothing can answer"
    if not steps:
        return "not covered", "detectors without a ladder only observe"
    return "covered", f"ladder {', '.join(steps)} after {ladder.get('alarms', 1)} alarms a step"


REQUIREMENTS = (
    Requirement(
        "11.5.1", "11.2.2", 1,
        "limits for each client and for all together, sized to what an extraction needs", _rates,
    ),
    Requirement(
        "11.5.2", "", 2,
        "alerts say who asked, how much, and how the queries were distributed", _metadata,
    ),
    Requirement(
        "11.5.3", "11.3.1", 1,
        "an extraction detector that looks at the pattern of queries", _analysis,
    ),
    Requirement(
        "11.5.4", "11.3.2", 2,
        "raw outputs stay inside; what leaves tells no more than the risk allows", _outputs,
    ),
    Requirement(
        "11.5.5", "11.3.3", 3, "a watermark or fingerprint by which a copy is known", _watermark
    ),
    Requirement(
        "11.5.6", "11.3.4", 3, "suspected extraction is answered by measures", _response
    ),
)  # fmt: skip
"""Numbers of the last draft that had a section C11.5; levels are those of version 1.0, and of that
draft where 1.0 has no such row."""


def _detectors(plan: Document) -> list[str]:
    return [str(one.get("kind")) for one in plan.get("detectors") or ()]


def _kinds(plan: Document) -> list[str]:
    return [str(one.get("kind")) for one in plan.get("defences") or ()]
