"""What the page is made of: sections of text, figures and tables, for HTML and Markdown alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attacker.lab.proportion import Proportion
from attacker.lab.report.builder import Plate
from attacker.lab.report.words import NBSP, percent
from attacker.lab.spread import Spread

DASH = "–"
Tone = Literal["", "holds", "does-not-hold", "not-decided"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    small: str = ""
    """What stands under it in small letters."""
    strong: bool = False
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A table; all columns but the first ``left`` ones hold figures."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    title: str = ""


@dataclass(frozen=True)
class Section:
    """One section of the page, in this order: lead, figures, tables, notes."""

    id: str
    title: str
    lead: tuple[str, ...] = ()
    plates: tuple[Plate, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def share(found: Spread | None, *, strong: bool = False, tone: Tone = "") -> Cell:
    """Return a share over seeds with its interval."""
    if found is None:
        return Cell(DASH)
    return Cell(percent(found.mean), reach(found), strong=strong, tone=tone)


def reach(found: Spread) -> str:
    """Return the interval of a share in percent, or why there is none."""
    ends = found.interval
    return "one seed" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def told(found: Spread) -> str:
    """Return a share with its interval for a sentence, such as ``41.2 % (38.0 to 44.4)``."""
    return f"{percent(found.mean)} ({reach(found)})"


def number(found: Spread | None, form: str) -> Cell:
    """Return a figure over seeds with its interval, both written as ``form`` says."""
    if found is None:
        return Cell(DASH)
    ends = found.interval
    low, high = ("", "") if ends is None else (f"{ends[0]:{form}}", f"{ends[1]:{form}}")
    small = "one seed" if ends is None else "" if low == high else f"{low} to {high}"
    return Cell(f"{found.mean:{form}}", small)


def counted(found: Proportion | None) -> Cell:
    """Return a counted share with its exact interval and the counts behind it."""
    if found is None:
        return Cell(DASH)
    low, high = 100 * found.low, 100 * found.high
    small = f"{low:.2f} to {high:.2f}; {found.hits:,} of {found.trials:,}"
    return Cell(f"{100 * found.share:.2f}{NBSP}%", small)


def names(words: Sequence[str], most: int = 8) -> str:
    """Return ``words`` as a list in a sentence: ``a, b and c``."""
    shown = [*words[:most], *([f"{len(words) - most} more"] if len(words) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
