"""How measurements are told: a table, a line a figure with its limit, and JSON of everything."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.support.processes import ROOT

FOLDER = ROOT / "runs" / "bench"


@dataclass(frozen=True)
class Figure:
    """One figure: its values over all rounds, and what it must reach or keep below."""

    name: str
    values: list[float]
    limit: float | None = None
    kind: Literal["at least", "at most"] = "at least"
    unit: str = ""
    """Empty for a ratio."""
    note: str = ""
    """Why there is no figure, or what it does not compare."""

    @property
    def median(self) -> float | None:
        """The figure itself; None where it could not be measured."""
        return statistics.median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """Whether the limit is met; None where there is none."""
        if self.limit is None:
            return None
        if self.median is None:
            return False
        return self.median >= self.limit if self.kind == "at least" else self.median <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Return name, median, range, limit and verdict."""
        if self.median is None:
            return self.name, "-", "-", self._limit(), self.note
        spread = f"{self._show(min(self.values))} to {self._show(max(self.values))}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        told = "; ".join(part for part in (verdict, self.note) if part)
        return (
            self.name,
            f"{self._show(self.median)} {self.unit}".strip(),
            spread,
            self._limit(),
            told,
        )

    def _limit(self) -> str:
        return "" if self.limit is None else f"{self.kind} {self._show(self.limit)}"

    def _show(self, value: float) -> str:
        return (
            f"{value:,.0f}"
            if abs(value) >= 100
            else f"{value:.3g}"
            if self.unit
            else f"{value:.2f}"
        )


@dataclass
class Report:
    """The figures of one benchmark, and everything they were made of."""

    benchmark: str
    figures: list[Figure] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)
    started_at: float = field(default_factory=time.time)

    def finish(self, *, no_limit: bool = False) -> int:
        """Print and write everything; return 1 where a limit is missed, unless ``no_limit``."""
        show(self.figures, self.benchmark)
        document = {
            "benchmark": self.benchmark,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started_at)),
            "seconds": time.time() - self.started_at,
            "machine": {
                "processors": len(os.sched_getaffinity(0)),
                "processor": _processor(),
                "python": platform.python_version(),
                "load_before": self.load_before,
            },
            "figures": [
                asdict(figure) | {"median": figure.median, "met": figure.met}
                for figure in self.figures
            ],
            "rounds": self.rounds,
        }
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self.benchmark}.json").write_text(json.dumps(document, indent=1) + "\n")
        missed = any(figure.met is False for figure in self.figures)
        return int(missed and not no_limit)


def show(figures: Sequence[Figure], title: str) -> None:
    """Print one line a figure."""
    table = Table("figure", "median", "range", "limit", "", title=title)
    for figure in figures:
        table.add_row(*figure.cells())
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def read(benchmark: str) -> list[Figure]:
    """Return the figures that a benchmark wrote last."""
    document = json.loads((FOLDER / f"{benchmark}.json").read_text())
    names = Figure.__dataclass_fields__
    return [
        Figure(**{name: value for name, value in figure.items() if name in names})
        for figure in document["figures"]
    ]


def arguments(
    description: str | None, *, rounds: int = 5, seconds: float = 4.0
) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark takes; more may be added to it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each measurement")
    parser.add_argument("--no-limit", action="store_true", help="exit 0 whatever was measured")
    return parser


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
