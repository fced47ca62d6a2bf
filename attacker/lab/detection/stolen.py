"""What was gone by an alarm: what a copy could do at the marks around it, and nothing between."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from attacker.lab.report.words import NBSP, percent
from shared.config import Frozen


class Mark(NamedTuple):
    """A number of clips at which a surrogate was trained and measured."""

    queries: int
    accuracy: float


class Stolen(NamedTuple):
    """The marks around a moment: it lies ``at`` one of them, between two, or beyond all."""

    at: Mark | None
    """The last mark that is reached; None before the first."""
    next: Mark | None
    """The first mark that is not passed, the same as ``at`` on a mark; None after the last."""

    @property
    def words(self) -> str:
        """Return the accuracy as far as it is known, such as ``< 34.0 %`` before the first mark."""
        if self.at is None or self.next is None:
            sign, mark = ("<", self.next) if self.at is None else ("≥", self.at)
            return "not known" if mark is None else f"{sign}{NBSP}{percent(mark.accuracy)}"
        low, high = sorted((self.at.accuracy, self.next.accuracy))
        return percent(low) if low == high else f"between {percent(low)} and {percent(high)}"

    @property
    def where(self) -> str:
        """Return the clips of these marks in words."""
        if self.at is None or self.next is None:
            word, mark = ("before", self.next) if self.at is None else ("after", self.at)
            return "" if mark is None else f"{word} {mark.queries:,} clips"
        if self.at == self.next:
            return f"at {self.at.queries:,} clips"
        return f"{self.at.queries:,} to {self.next.queries:,} clips"


def stolen_at(queries: int, marks: Mapping[int, float]) -> Stolen | None:
    """Return what is known of the accuracy after ``queries``, from ``marks`` by queries spent.

    None where there are no marks.
    """
    if not marks:
        return None
    reached = [mark for mark in marks if mark <= queries]
    ahead = [mark for mark in marks if mark >= queries]
    return Stolen(
        Mark(max(reached), marks[max(reached)]) if reached else None,
        Mark(min(ahead), marks[min(ahead)]) if ahead else None,
    )


def around(moments: Iterable[Stolen]) -> Stolen | None:
    """Return the marks that all ``moments`` lie between; None of none."""
    found = list(moments)
    if not found:
        return None
    before, after = [one.at for one in found], [one.next for one in found]
    return Stolen(
        None if None in before else min(mark for mark in before if mark is not None),
        None if None in after else max(mark for mark in after if mark is not None),
    )


class StolenFields(Frozen):
    """The part of a row that says what was stolen; everything is None where it is not known."""

    stolen_mark: int | None = None
    """Clips of the last mark that the first alarm reaches; None before the first mark."""
    stolen_at_alarm: float | None = None
    """Accuracy of the surrogate at that mark."""
    next_mark: int | None = None
    """Clips of the first mark that the alarm does not pass; None after the last."""
    stolen_at_next: float | None = None
    """Accuracy of the surrogate at that mark."""
    last_mark: int | None = None
    """Clips of the last mark of all."""
    accuracy: float | None = None
    """Accuracy of the surrogate at the last mark of all: what is stolen if nobody acts."""

    @property
    def stolen(self) -> Stolen | None:
        """What was stolen by the first alarm; None where there was none, or it is not known."""
        at = _mark(self.stolen_mark, self.stolen_at_alarm)
        ahead = _mark(self.next_mark, self.stolen_at_next)
        return None if at is None and ahead is None else Stolen(at, ahead)

    @property
    def final(self) -> Mark | None:
        """The last mark of all."""
        return _mark(self.last_mark, self.accuracy)


def stolen_fields(alarm: int | None, marks: Mapping[int, float]) -> StolenFields:
    """Return the fields of a first ``alarm`` after so many queries, if there was one."""
    stolen = None if alarm is None else stolen_at(alarm, marks)
    at, ahead = (None, None) if stolen is None else stolen
    return StolenFields(
        stolen_mark=None if at is None else at.queries,
        stolen_at_alarm=None if at is None else at.accuracy,
        next_mark=None if ahead is None else ahead.queries,
        stolen_at_next=None if ahead is None else ahead.accuracy,
        last_mark=max(marks) if marks else None,
        accuracy=marks[max(marks)] if marks else None,
    )


def _mark(queries: int | None, accuracy: float | None) -> Mark | None:
    return None if queries is None or accuracy is None else Mark(queries, accuracy)
