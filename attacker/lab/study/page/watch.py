"""The page's section about detectors: whom they caught and how late, and whom they accused."""

from collections.abc import Iterable, Sequence

from attacker.lab.report.words import percent
from attacker.lab.study.page.blocks import DASH, Cell, Section, Table, Tone, counted, names
from attacker.lab.study.page.cost import LIMITS
from attacker.lab.study.page.detectors import (
    ALL_USERS,
    Caught,
    FalseAlarms,
    Verdict,
    caught,
    detector_alarms,
    plan_alarms,
)
from attacker.lab.study.page.sections import Figures

_TONES: dict[Verdict, Tone] = {
    "kept": "holds", "broken": "does-not-hold", "not decided": "not-decided",
}  # fmt: skip
_WORDS: dict[Verdict, str] = {
    "kept": "at most the target", "broken": "above the target", "not decided": "not decided",
}  # fmt: skip


def detectors(found: Figures) -> Section:
    """Return what each detector caught and when, and how often honest users raised an alarm."""
    rows = found.tables.detections or ()
    by_plan = plan_alarms(found.tables.honest, found.offers)
    by_detector, thieves = detector_alarms(rows), caught(rows)
    target = max((row.false_alarm_target for row in rows), default=LIMITS.false_alarms)
    tables = [_caught_table(thieves)] if thieves else []
    if by_detector:
        tables.append(_alarm_table("Detector", by_detector, target))
    if by_plan:
        tables.append(_alarm_table("Plan", by_plan, target))
    notes = [*_quiet(thieves), *_unproved(thieves, by_detector, target)]
    if any(one.alarmed for one in thieves) and not any(one.final for one in thieves):
        notes.append(
            "What was stolen by the alarms is not known: no attacker of the trial names `cells` of "
            "this study or a `run`. Add them, and run the trial again."
        )
    if not by_plan and not by_detector:
        notes.append("No honest user was watched by a detector, so false alarms are not known.")
    lead = _lead(target) if rows else _NOTHING
    return Section("detectors", "Detectors", lead=lead, tables=tuple(tables), notes=tuple(notes))


_NOTHING = (
    "No detector was measured: there is no detections.parquet in this study. Run "
    "`earshot-attacker detections TRIAL.yaml --study FOLDER`, and make this page again.",
)


def _lead(target: float) -> tuple[str, ...]:
    return (
        f"By the trial's file, thresholds were fitted to honest traffic at {percent(target)} of "
        "its windows; the service is not asked for that. Rates of windows have exact "
        "(Clopper-Pearson) 95 % intervals, which take windows as independent. Windows of one "
        "account resemble one another, so that the truth is less certain than they say: how many "
        "accounts were accused is told beside them.",
        "The delay is the median over seeds, where a campaign without an alarm counts as later "
        "than any. What was stolen by the first alarm is what a copy could do at the marks on "
        "either side of it, over all campaigns that were caught; nothing is guessed between two "
        "marks.",
    )


def _caught_table(found: Sequence[Caught]) -> Table:
    heads = ("Detector", "Attacker", "windows caught", "campaigns caught",
             "clips to the first alarm", "stolen by then", "stolen at the last mark")  # fmt: skip
    rows = []
    for one in sorted(found, key=lambda one: one.detector):
        stolen = Cell(DASH) if one.stolen is None else Cell(one.stolen.words, one.stolen.where)
        final = (
            Cell(DASH)
            if one.final is None
            else Cell(percent(one.final.accuracy), f"{one.final.queries:,} clips")
        )
        rows.append(
            (
                Cell(one.detector), Cell(one.attacker), counted(one.windows),
                Cell(f"{one.alarmed} of {one.campaigns}"), _delay(one), stolen, final,
            )
        )  # fmt: skip
    return Table(heads, tuple(rows), left=2, title="What was caught, and how late")


def _delay(one: Caught) -> Cell:
    delay, never = one.delay, one.campaigns - one.alarmed
    if delay is None:
        return Cell("never")
    few, many = f"{delay.least:,}", f"{delay.most:,}"
    reach = "one seed" if one.campaigns == 1 else few if few == many else f"{few} to {many}"
    small = f"{reach}; never in {never}" if never else reach
    return Cell("never" if delay.median is None else f"{delay.median:,.0f}", small)


def _alarm_table(first: str, alarms: Sequence[FalseAlarms], target: float) -> Table:
    rows = []
    for one in alarms:
        verdict = one.verdict(target)
        watching = ", ".join(one.detectors) or ("not known" if first == "Plan" else "")
        rows.append(
            (
                Cell(one.watcher, watching), Cell(one.user),
                Cell(f"{one.accused:,} of {one.accounts:,}"), counted(one.windows),
                Cell(_WORDS[verdict], tone=_TONES[verdict]),
            )
        )  # fmt: skip
    heads = (first, "Honest user", "accounts accused", "windows that alarmed",
             f"against {percent(target)}")  # fmt: skip
    return Table(
        heads, tuple(rows), left=2, title=f"False alarms on honest traffic, by {first.lower()}"
    )


def _quiet(thieves: Sequence[Caught]) -> list[str]:
    """Say which detectors no attacker alarmed."""
    alarmed = {one.detector for one in thieves if one.alarmed}
    quiet = _distinct(one.detector for one in thieves if one.detector not in alarmed)
    return [f"No attacker raised an alarm of {names(quiet)}."] if quiet else []


def _unproved(thieves: Sequence[Caught], alarms: Sequence[FalseAlarms], target: float) -> list[str]:
    """Say of which detectors the catches do not count at the target rate of false alarms."""
    # The last row of a detector is that of all users, or of the only one.
    last = {one.watcher: one for one in alarms}
    kept = {detector for detector, one in last.items() if one.verdict(target) == "kept"}
    unproved = _distinct(one.detector for one in thieves if one.detector not in kept)
    if not unproved:
        return []
    return [
        f"It is not shown that {names(unproved)} kept to {percent(target)} of false alarms on "
        f"{ALL_USERS} together: what was caught was caught at the rate that is shown, not at "
        f"{percent(target)}. Where it is not decided, more honest users (`users_each` in the "
        "trial) decide it."
    ]


def _distinct(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))
