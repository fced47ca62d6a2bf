"""Which requirements against model extraction a plan covers, decided from its fields.

Reference: OWASP Artificial Intelligence Security Verification Standard. Section C11.5 of the drafts
became C11.3 (and 11.2.2) in version 1.0 of 2026; both numbers are given. The wording here is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from attacker.lab.study.page.sold import Sold, acts
from attacker.lab.study.page.told import LITTLE, MUCH, kind_of

Cover = Literal["covered", "in part", "not covered"]
Finding = tuple[Cover, str]

_QUOTAS = ("budget", "account_budget", "daily_budget", "rate_per_s")


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
    find: Callable[[Sold], Finding]
    """By a plan, whether it is covered, and by which fields."""


def _rates(plan: Sold) -> Finding:
    own = [name for name in _QUOTAS if plan.document.get(name) is not None]
    if not own:
        return "not covered", "no budget and no rate is part of the plan"
    return (
        "in part",
        f"each key or account is held by {', '.join(own)}; the cap over all of them is a setting "
        "of the service, and not of a plan",
    )


def _metadata(plan: Sold) -> Finding:
    if not plan.detectors:
        return "not covered", "nothing watches, so there is no alert"
    return "covered", "every reading keeps account, detector, queries seen, score and threshold"


def _analysis(plan: Sold) -> Finding:
    if not plan.detectors:
        return "not covered", "no detector"
    return "covered", f"detectors {', '.join(plan.detectors)}"


def _outputs(plan: Sold) -> Finding:
    words, form, hidden = plan.told.words, plan.told.rank.form, plan.told.hidden_by
    if form <= LITTLE:
        return "covered", words
    if hidden and form > MUCH:
        words = f"{words}, changed by {', '.join(hidden)}"
    return "in part" if form == MUCH or hidden else "not covered", words


def _watermark(plan: Sold) -> Finding:
    if "dawn" not in plan.kinds:
        return "not covered", "no watermark in the chain"
    if not plan.told.mark_kept:
        return (
            "not covered",
            "a defence behind dawn changes labels again, so that the mark may be lost",
        )
    return "covered", "dawn is the last in the chain to change labels, and has a verifier"


def _response(plan: Sold) -> Finding:
    ladder = plan.document.get("ladder") or {}
    if not plan.detectors:
        return "not covered", "nothing watches, so nothing can answer"
    steps, acting, now = ladder.get("steps") or (), [], plan
    for step in steps:
        then = now.after(step)
        if acts(step, now, then):
            acting.append(kind_of(step))
        now = then
    if not steps:
        return "not covered", "detectors without a ladder only observe"
    if not acting:
        idle = ", ".join(map(kind_of, steps))
        return "not covered", f"ladder {idle} takes nothing away that the plan gives"
    return "covered", f"ladder {', '.join(acting)} after {ladder.get('alarms', 1)} alarms a step"


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
