"""The page's sentences and figures in words, for HTML and Markdown alike."""

from collections.abc import Callable

from attacker.lab.paper.cells import CellResult
from attacker.lab.paper.claims import Decision
from attacker.lab.paper.compare import Evidence
from attacker.lab.paper.findings import RowResult, TableResult
from attacker.lab.paper.read import OURS
from attacker.lab.paper.sheet import tell_gaps
from attacker.lab.report.words import NBSP, count, percent, points
from attacker.lab.spread import Spread
from attacker.tables.claims import Figure
from attacker.waiting import show_duration

DASH = "–"
LEFT_OUT = (
    "Intervals leave out the luck of a generator and of a source model: one WaveGAN, and one model "
    "of each task whose first layers are known (of half of the victim's speakers, of the other "
    "corpus), serve all seeds of every row that names them. Another of the same kind may do better "
    "or worse by more than an interval shows. They are over seeds alone, all scored on the same "
    "test clips: seeds that came out the same have an interval of no width, though other clips "
    "would have said something else; each table says how many clips there are."
)
"""What no interval on the page is about, in words."""
NAMES: dict[Figure, str] = {
    "volume": "Volume",
    "coverage": "Coverage",
    "accuracy": "Accuracy",
    "fidelity": "Fidelity",
}


def value(found: Spread | None, figure: Figure) -> str:
    """Return a mean over seeds: a count of clips, or a percentage."""
    if found is None:
        return DASH
    return f"{found.mean:,.0f}" if figure == "volume" else percent(found.mean)


def interval(found: Spread | None, figure: Figure) -> str:
    """Return the interval of a mean, or why there is none; empty where both ends read alike."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return "one seed"
    if figure == "volume":
        low, high = f"{max(0.0, found.low):,.0f}", f"{found.high:,.0f}"
    else:
        low, high = f"{100 * found.low:.1f}", f"{100 * found.high:.1f}"
    return "" if low == high else f"{low} to {high}"


def printed(row: RowResult, figure: Figure) -> str:
    """Return what the paper printed of ``row``; a dash where it printed nothing."""
    if figure == "fidelity":
        return ""
    number = getattr(row.paper, figure)
    if number is None:
        return DASH
    if figure == "volume":
        return f"{number:,}"
    if figure == "accuracy":
        return f"{number:.2f}{NBSP}%"
    return max(f"{number:.1f}", f"{number:g}", key=len) + f"{NBSP}%"


def common_note(table: TableResult) -> str:
    """Return the note that all rows of ``table`` share, to be said once; empty if there is none."""
    notes = {row.note for row in table.rows}
    return notes.pop() if len(notes) == 1 else ""


def table_notes(table: TableResult) -> list[str]:
    """Return what has to be said of all rows of ``table``."""
    notes = [f"{note}."] if (note := common_note(table)) else []
    if any(OURS in text for row in table.rows for text in row.settings):
        notes.append(
            f"{OURS} The published value is lost, or was never printed: this one is ours, and no "
            "row is known to be the one whose figure stands beside it."
        )
    return notes


def shown(table: TableResult) -> list[tuple[Figure, bool]]:
    """Return the figures of ``table`` that are compared, and whether the paper printed any."""
    return [
        (figure, any(getattr(row.paper, figure) is not None for row in table.rows))
        for figure in table.columns
        if figure != "fidelity"
    ]


def seeds(row: RowResult) -> str:
    """Return how many of a row's seeds have finished, and what became of the others."""
    total = len(row.cells)
    lost = [cell for cell in row.cells if cell.state != "done"]
    if not lost:
        return str(total)
    words = {state: sum(cell.state == state for cell in lost) for state in lost_states(row)}
    told = ", ".join(f"{number} {state}" for state, number in words.items())
    return f"{row.finished} of {total} ({told})"


def lost_states(row: RowResult) -> list[str]:
    """Return the states of a row's unfinished cells, each once."""
    return sorted({cell.state for cell in row.cells if cell.state != "done"})


def evidence(item: Evidence, decision: Decision) -> str:
    """Return one comparison with its interval, such as ``a against b: +3.1 (+0.2 to +6.0)``."""
    found = item.spread
    if found is None:
        why = item.gaps.get(item.label) or tell_gaps(item.gaps)  # a label of one row names it
        return f"{item.label}: {why}"
    show: Callable[[float], str]
    if decision.figure == "volume":
        show, unit = _clips, " clips"
    elif decision.kind == "at_chance":
        show, unit = _share, f"{NBSP}%"
    else:
        show, unit = points, " points"
    ends = found.interval
    reach = "one seed" if ends is None else f"{show(ends[0])} to {show(ends[1])}"
    return f"{item.label}: {show(found.mean)}{unit} ({reach}; n = {found.n})"


def cell_line(cell: CellResult) -> str:
    """Return what a cell took, in words."""
    if cell.took_s is None:
        return DASH
    return show_duration(cell.took_s)


def table_line(table: TableResult) -> str:
    """Return how much of a table is there, and what it cost."""
    done = [cell for cell in table.cells if cell.state == "done"]
    unique = {cell.folder: cell for cell in table.cells}.values()
    took_s = sum(cell.took_s or 0.0 for cell in unique)
    clips = sum(cell.bought for cell in unique)
    return (
        f"{len(done)} of {len(table.cells)} cells are done; "
        f"{count(clips, 'clip')} bought; {show_duration(took_s)} of work"
    )


def facts(table: TableResult) -> str:
    """Return what was run: the table's name, its sizes and its seeds."""
    return f"{table.name}, profile {table.profile}, {count(len(table.seeds), 'seed')}"


def victim_line(table: TableResult) -> str:
    """Return who was attacked, and how good it is."""
    victim = table.victim
    facts = (
        f"victim {victim.name}, {victim.labels} speakers, {victim.clip_samples:,} samples at "
        f"{victim.sample_rate_hz:,} Hz"
    )
    if victim.accuracy is None or victim.test_clips is None:
        return facts
    low, high = victim.accuracy.low, victim.accuracy.high
    return (
        f"{facts}: {percent(victim.accuracy.value)} ({100 * low:.1f} to {100 * high:.1f}) on its "
        f"{victim.test_clips:,} test clips; chance is {percent(1 / victim.labels)}"
    )


def _clips(number: float) -> str:
    return f"{number:+,.0f}"


def _share(number: float) -> str:
    return f"{100 * number:.1f}"
