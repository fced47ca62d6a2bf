"""The page's sections about detectors, about the standard, and about how it was made."""

from collections.abc import Sequence

from attacker.lab.report.words import percent
from attacker.lab.study.page.blocks import (
    DASH,
    Cell,
    Section,
    Table,
    Tone,
    counted,
    number,
    share,
)  # fmt: skip
from attacker.lab.study.page.choice import RULES
from attacker.lab.study.page.cost import LIMITS
from attacker.lab.study.page.detectors import (
    Caught,
    FalseAlarms,
    caught,
    detector_alarms,
    plan_alarms,
)
from attacker.lab.study.page.sections import Figures
from attacker.lab.study.page.standard import REQUIREMENTS, Cover
from attacker.lab.study.page.theft import Offer

_TONES: dict[str, Tone] = {
    "kept": "holds", "broken": "does-not-hold", "not decided": "not-decided",
    "covered": "holds", "not covered": "does-not-hold", "in part": "not-decided",
}  # fmt: skip
_WORDS = {"kept": "at most", "broken": "above", "not decided": "not decided"}


def detectors(found: Figures) -> Section:
    """Return what each detector caught and when, and how often honest users raised an alarm."""
    rows = found.tables.detections or ()
    by_plan = plan_alarms(found.tables.honest, found.offers)
    by_detector, thieves = detector_alarms(rows), caught(rows)
    target = max((row.false_alarm_target for row in rows), default=LIMITS.false_alarms)
    lead = (
        f"Thresholds were fitted to honest traffic at a false-alarm rate of {percent(target)} of "
        "windows. Rates of windows have exact (Clopper-Pearson) 95 % intervals, which take "
        "windows as independent; those of one account are not quite.",
    )
    if not rows:
        lead = ("No detector was measured: there is no detections.parquet in this study.",)
    tables = [_caught_table(thieves)] if thieves else []
    if by_detector:
        tables.append(_alarm_table("Detector", by_detector, target))
    if by_plan:
        tables.append(_alarm_table("Plan", by_plan, target))
    unknown = "No honest user was watched by a detector, so false alarms are not known."
    notes = () if by_plan or by_detector else (unknown,)
    return Section("detectors", "Detectors", lead=lead, tables=tuple(tables), notes=notes)


def _caught_table(found: Sequence[Caught]) -> Table:
    heads = ("Detector", "Attacker", "windows caught", "campaigns caught",
             "clips to the first alarm", "stolen by then", "stolen in the end")  # fmt: skip
    rows = []
    for one in found:
        never = one.campaigns - one.alarmed
        delay = number(one.delay, ",.0f")
        small = f"{delay.small}; never in {never}" if never and one.delay else delay.small
        when = Cell("never" if one.delay is None else delay.text, small)
        rows.append(
            (
                Cell(one.detector), Cell(one.attacker), counted(one.windows),
                Cell(f"{one.alarmed} of {one.campaigns}"), when,
                share(one.stolen), share(one.final),
            )
        )  # fmt: skip
    return Table(heads, tuple(rows), left=2, title="What was caught, and how late")


def _alarm_table(first: str, alarms: Sequence[FalseAlarms], target: float) -> Table:
    rows = []
    for one in alarms:
        verdict = one.verdict(target)
        text = _WORDS[verdict] if verdict == "not decided" else f"{_WORDS[verdict]} the target"
        watching = ", ".join(one.detectors) or ("not known" if first == "Plan" else "")
        rows.append(
            (
                Cell(one.watcher, watching), Cell(one.user), counted(one.windows),
                Cell(text, tone=_TONES[verdict]),
            )
        )  # fmt: skip
    return Table(
        (first, "Honest user", "windows that alarmed", f"against {percent(target)}"),
        tuple(rows), left=2, title=f"False alarms on honest traffic, by {first.lower()}",
    )  # fmt: skip


def standard(found: Figures) -> Section:
    """Return which requirements against extraction the plans in question cover."""
    shown = _in_question(found)
    known = [(offer, offer.document) for offer in shown if offer.document is not None]
    source = (
        "Section C11.5 (model extraction) of the drafts of OWASP's AISVS, whose rows are C11.2.2 "
        "and C11.3 in version 1.0 (2026), in our words. Decided from the plan's fields as it was "
        "sold; what the service does besides a plan, such as a cap over all accounts, is not seen."
    )
    if not known:
        return Section(
            "standard",
            "OWASP AISVS C11.5",
            lead=(source, "Not known: the plans' fields are not in this study's manifest."),
        )
    heads = ("Draft", "1.0", "Level", "asks for", *(f"{o.label} ({o.mode})" for o, _ in known))
    rows = []
    for asked in REQUIREMENTS:
        found_of = [asked.find(document) for _, document in known]
        first = (Cell(f"C{asked.draft}"), Cell(f"C{asked.number}" if asked.number else DASH))
        rows.append(
            (*first, Cell(str(asked.level)), Cell(asked.asks), *(_cover(*f) for f in found_of))
        )
    return Section(
        "standard",
        "OWASP AISVS C11.5",
        lead=(source,),
        tables=(Table(heads, tuple(rows), left=len(heads)),),
    )


def _cover(cover: Cover, why: str) -> Cell:
    return Cell(cover, why, tone=_TONES[cover])


def _in_question(found: Figures) -> list[Offer]:
    """Return the chosen plan of each mode or, where it is not decided, the one that leads."""
    shown = [one.chosen or one.leader for one in found.choices]
    return [offer for offer in shown if offer is not None] or list(found.offers[:3])


def rules() -> Section:
    """Return the rules that decided, with the limits."""
    limits = (
        f"Limits of honest cost: {100 * LIMITS.lost:.1f} points of accuracy, "
        f"{percent(LIMITS.refused)} of clips refused, {percent(LIMITS.false_alarms)} of windows "
        f"alarmed (broken if the whole interval is above), {LIMITS.added_p50_ms:.0f} ms at the "
        "median; each of the user profile that pays most, on average over seeds."
    )
    return Section("rules", "How it was decided", lead=(*RULES, limits))


def made(found: Figures, commit: str | None) -> Section:
    """Return how the study and its page were made."""
    manifest, cells = found.tables.manifest, found.tables.cells
    seeds = sorted({row.seed for row in cells})
    facts = {
        "study": manifest.text("study", "name") or found.tables.folder.name,
        "title": manifest.text("study", "title"),
        "profile": manifest.text("profile"),
        "victim": manifest.text("victim", "name"),
        "victim checkpoint": manifest.text("victim", "checkpoint"),
        "cells": f"{len(cells):,}",
        "clips bought": f"{sum(row.bought for row in cells):,}",
        "seeds": ", ".join(map(str, seeds)),
        "study run at commit": manifest.text("commit"),
        "lock": manifest.text("lock_sha256"),
        "written": manifest.text("written_at"),
        "this page's commit": commit,
    }
    rows = tuple((Cell(name), Cell(text or "unknown")) for name, text in facts.items())
    return Section(
        "made",
        "How it was made",
        tables=(Table(("", ""), rows, left=2),),
    )
