"""From readings to rows: windows, alarms, the first of them, and what was gone by then."""

from collections.abc import Mapping, Sequence

import numpy as np

from shared.config import Frozen
from shared.contract import DetectorReading

HONEST = "honest:"
"""Opens the name of a user, where it stands for an attacker."""


class DetectionRow(Frozen):
    """One detector's record of one attacker or honest user."""

    study: str = ""
    detector: str
    attacker: str
    """Its name; ``honest:<kind>`` of an honest user, whose alarms are false."""
    seed: int
    accounts: int = 1
    queries: int
    """Clips sent, over all accounts."""
    windows: int
    alarms: int
    threshold: float
    false_alarm_target: float
    first_alarm_query: int | None
    """Clips that all accounts together had sent at the first alarm of any; None: there was none."""
    stolen_at_alarm: float | None = None
    """Accuracy of the surrogate at the last mark before that; None: never seen, or not known."""
    accuracy: float | None = None
    """Accuracy of the surrogate in the end."""

    @property
    def share(self) -> float:
        """Share of windows that were alarms: true positives, or false alarms of a user."""
        return self.alarms / self.windows if self.windows else 0.0


def detection_rows(
    readings: Mapping[str, Sequence[DetectorReading]],
    sent: Mapping[str, np.ndarray],
    *,
    attacker: str,
    seed: int,
    false_alarm_target: float,
    marks: Mapping[int, float] | None = None,
    study: str = "",
) -> list[DetectionRow]:
    """Return a row for each detector that has a reading, by name.

    ``readings`` are by account; ``sent[account]`` (Q,) says of each clip of the account, in its
    order, how many clips all accounts had sent with it. ``marks`` are the surrogate's accuracy by
    queries spent.
    """
    marks = marks or {}
    everything = [(account, one) for account in readings for one in readings[account]]
    rows = []
    for detector in sorted({one.detector for _, one in everything}):
        own = [(account, one) for account, one in everything if one.detector == detector]
        seen = [_position(sent[account], one.query) for account, one in own if one.alarm]
        first = min(seen) if seen else None
        rows.append(
            DetectionRow(
                study=study,
                detector=detector,
                attacker=attacker,
                seed=seed,
                accounts=len(sent),
                queries=sum(len(places) for places in sent.values()),
                windows=len(own),
                alarms=len(seen),
                threshold=max(one.threshold for _, one in own),
                false_alarm_target=false_alarm_target,
                first_alarm_query=first,
                stolen_at_alarm=None if first is None else stolen_at(first, marks),
                accuracy=marks[max(marks)] if marks else None,
            )
        )
    return rows


def stolen_at(queries: int, marks: Mapping[int, float]) -> float | None:
    """Return the accuracy at the last of ``marks`` that ``queries`` reach; 0 before the first.

    None where there are no marks.
    """
    if not marks:
        return None
    reached = [mark for mark in marks if mark <= queries]
    return marks[max(reached)] if reached else 0.0


def _position(places: np.ndarray, query: int) -> int:
    return int(places[min(max(query, 1), len(places)) - 1])
