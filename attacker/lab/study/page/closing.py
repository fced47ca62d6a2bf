"""The page's last sections: the standard, the rules that decided, and how all was made."""

from attacker.lab.report.words import percent
from attacker.lab.study.page.blocks import DASH, Cell, Section, Table, Tone
from attacker.lab.study.page.choice import RULES
from attacker.lab.study.page.cost import LIMITS
from attacker.lab.study.page.sections import Figures
from attacker.lab.study.page.sold import Sold
from attacker.lab.study.page.standard import REQUIREMENTS, Cover
from attacker.lab.study.page.theft import Offer

_TONES: dict[Cover, Tone] = {
    "covered": "holds", "not covered": "does-not-hold", "in part": "not-decided",
}  # fmt: skip


def standard(found: Figures) -> Section:
    """Return which requirements against extraction the plans in question cover."""
    shown = _in_question(found)
    known = [(o, Sold(o.document, o.labels)) for o in shown if o.document is not None]
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
        found_of = [asked.find(sold) for _, sold in known]
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
        f"alarmed, {LIMITS.added_p50_ms:.0f} ms at the median (these two are broken if the whole "
        "interval is above, for a busy machine is slower than itself); each of the user profile "
        "that pays most, on average over seeds."
    )
    return Section("rules", "How it was decided", lead=(*RULES, limits))


def made(found: Figures, commit: str | None) -> Section:
    """Return how the study and its page were made."""
    manifest, cells = found.tables.manifest, found.tables.cells
    seeds = sorted({row.seed for row in cells})
    paid = {row.identity: row for row in cells}
    facts = {
        "study": manifest.text("study", "name") or found.tables.folder.name,
        "title": manifest.text("study", "title"),
        "profile": manifest.text("profile"),
        "meant for the victim": manifest.text("study", "victim"),
        "victim checkpoint": manifest.text("victim", "checkpoint"),
        "cells": f"{len(paid):,}" + (f", in {len(cells):,} rows" if len(cells) > len(paid) else ""),
        "clips bought": f"{sum(row.bought for row in paid.values()):,}",
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
