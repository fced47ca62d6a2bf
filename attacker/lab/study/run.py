"""Runs a study: sells its plans, keys its cells, runs what is not done, writes the rows."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from attacker.campaign import End
from attacker.cells.cell import bought, inspect, is_done
from attacker.cells.jobs import Job, Launch, State, Status, Watcher, run_jobs
from attacker.errors import ExperimentError, Refusal
from attacker.lab.admin import AdminClient
from attacker.lab.audit import Auditor
from attacker.lab.bundle import read_bundle
from attacker.lab.paper.score import Scorer
from attacker.lab.reading import predict_surrogate
from attacker.lab.study.keys import KEY_NAME, KeyRing, account_of, bill
from attacker.lab.study.manifest import MANIFEST_FILE
from attacker.lab.study.measure import CellRows
from attacker.lab.study.resolve import SoldPlan, StudyCell, distinct, resolve
from attacker.lab.study.rows import CELLS, CELLS_NAME, write_rows
from attacker.lab.study.schema import Study
from attacker.plan import ask
from attacker.run_folder import commit, lock_sha256
from attacker.tables.manifest import victim_folder
from attacker.tables.schema import CAMPAIGN
from shared.checkpoint import write_atomically
from shared.config import dump_yaml
from shared.contract import ModelCard
from shared.corpora import Progress

CELL_NAME, CELLS_FOLDER = "cell.yaml", "cells"
ENDS = get_args(End)
"""A plan that charges more than a clip for a clip, or sells no more today, ends a campaign early: a
result like any."""
_HIDDEN = (
    "EARSHOT_KEY", "EARSHOT_KEYS", "EARSHOT_AUDIT_KEY", "EARSHOT_ADMIN_KEY", "EARSHOT_PROXY_ROOT",
)  # fmt: skip
"""A cell's process is the attacker: it sees its own keys and no others."""
_TAG = re.compile(r"[a-z0-9]{0,10}")
Placed = tuple[StudyCell, Path]


@dataclass(frozen=True)
class StudyRunner:
    """A study, the victim that it runs against, and where it is kept."""

    study: Study
    profile: str
    out: Path
    url: str
    admin_key: str = field(repr=False)
    audit_key: str = field(repr=False)
    bundle: Path
    cache: Path
    device: str
    patience_s: float
    jobs: int = 1
    tag: str = ""
    """Told apart by it are the accounts of runs in several folders against one ledger."""
    only: tuple[str, ...] = ()
    """Patterns of the cells that are run; all of them unless given."""
    launch: Launch | None = None
    """Where cells run: on this machine unless given."""

    def run(
        self,
        watcher: Watcher,
        command: str,
        on_corpus: Progress | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> tuple[Path, list[Status]]:
        """Run every cell that is not done yet; return the study's folder and what became of each.

        Raises:
            EarshotError, CorpusError: something that a cell needs is not there, a plan is none
                that the victim sells, or the victim is another one; nothing was bought.
        """
        card = self.card()
        home = self.home(card)
        # Once: the cells of a study are worked out in seconds, and rows are written at every end.
        placed = self.placed(home)
        chosen = self.choose(placed)
        for spec in self.study.corpora.values():
            spec.build(self.cache, on_corpus)
        rows = CellRows(self.study, self._scorer(card, on_note), home)
        with AdminClient(self.url, self.admin_key, patience_s=self.patience_s) as admin:
            self._prepare(admin, chosen)
            folder = self._write_manifest(card, placed, command)
            place = folder / CELLS_NAME
            writer = _RowWriter(watcher, lambda: _write_rows(rows, placed, place))
            jobs = [self._job(cell, path, admin, rows.scorer) for cell, path in _distinct(chosen)]
            try:
                statuses = run_jobs(
                    jobs, self.jobs, writer, dict.fromkeys(_HIDDEN, ""), launch=self.launch
                )
            finally:
                problems = _write_rows(rows, placed, place)
        return folder, _without_rows(statuses, problems, on_note)

    def card(self) -> ModelCard:
        """Return what the victim says of itself.

        Raises:
            OracleError: it cannot be reached, or does not take the audit key.
            ExperimentError: its audio is not that of the study.
        """
        card, _ = asyncio.run(ask(self.url, (self.audit_key,), self.patience_s))
        what = f"{self.study.name} with the profile {self.profile}"
        self.study.audio.demand(card, self.url, what=what, victim=self.study.victim)
        return card

    def home(self, card: ModelCard) -> Path:
        """Return where everything of the victim lies."""
        return victim_folder(self.out, card.checkpoint)

    def placed(self, home: Path) -> list[Placed]:
        """Return all cells of the study with their folders."""
        return [(one, one.cell.folder(home / CELLS_FOLDER)) for one in resolve(self.study)]

    def choose(self, cells: list[Placed]) -> list[Placed]:
        """Return those of ``cells`` that are to be run.

        Raises:
            ExperimentError: a pattern names none, or the tag cannot stand in an account.
        """
        if not _TAG.fullmatch(self.tag):
            raise ExperimentError(
                f"--tag {self.tag!r}: up to 10 of a to z and 0 to 9 can stand in an account's name."
            )
        for pattern in self.only:
            if not any(fnmatchcase(cell.name, pattern) for cell, _ in cells):
                raise ExperimentError(
                    f"--only {pattern!r} names no cell of {self.study.name}. `--list` shows all; "
                    "* stands for anything."
                )
        if not self.only:
            return cells
        return [one for one in cells if any(fnmatchcase(one[0].name, p) for p in self.only)]

    def _scorer(self, card: ModelCard, on_note: Callable[[str], None]) -> Scorer:
        bundle = read_bundle(self.bundle)
        bundle.demand_victim(card.checkpoint, who=f"the victim at {self.url}")

        def label(clips: np.ndarray) -> np.ndarray:
            on_note(f"the victim labels {len(clips):,} test clips")
            return Auditor(self.url, self.audit_key).label(bundle)

        predict = partial(predict_surrogate, device="cpu")
        return Scorer.of(bundle, self.home(card), label, predict, self.cache)

    def _prepare(self, admin: AdminClient, chosen: Sequence[Placed]) -> None:
        """Sell the plans, and leave in each cell's folder its experiment and its keys."""
        todo = [(cell, folder) for cell, folder in _distinct(chosen) if not is_done(folder)]
        sell(admin, [cell.plan for cell, _ in todo])
        ring = KeyRing.ask(admin, self.tag)
        for cell, folder in todo:
            ring.check(cell, folder)
        for cell, folder in todo:
            text = dump_yaml(cell.cell.experiment)
            write_atomically(folder / CELL_NAME, text.encode())
            ring.provide(cell, folder)

    def _job(self, cell: StudyCell, folder: Path, admin: AdminClient, scorer: Scorer) -> Job:
        asked = ("--url", self.url, "--patience-s", str(self.patience_s))
        options = (*asked, "--cache", str(self.cache), "--device", self.device)
        experiment = cell.cell.experiment

        def conclude() -> dict[str, Any]:
            facts = inspect(folder, experiment, ENDS)
            scorer.score(folder, facts[CAMPAIGN]["surrogates"])
            paid = bill(admin, cell, account_of(cell, folder, self.tag))
            return {"identity": cell.cell.identity, **paid, **facts}

        place = ("run", str(folder / CELL_NAME), "--out", str(folder))
        return Job(
            name=cell.name,
            arguments=(*place, "--key-file", str(folder / KEY_NAME), *options),
            folder=folder,
            conclude=conclude,
            cost_s=cell.cell.cost_s,
            progress=lambda: bought(folder),
        )

    def _write_manifest(self, card: ModelCard, placed: Sequence[Placed], command: str) -> Path:
        home = self.home(card)
        folder = home / f"{self.study.name}-{self.profile}"
        data = {
            "study": self.study.model_dump(mode="json"),
            "profile": self.profile,
            "victim": card.model_dump(mode="json"),
            "plans": {c.plan.name: c.plan.document for c, _ in placed},
            "cells": [_plain(*one, home) for one in placed],
            "command": command,
            "commit": commit(),
            "lock_sha256": lock_sha256(),
            "written_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / MANIFEST_FILE, text.encode())
        return folder


@dataclass(frozen=True)
class _RowWriter:
    """Writes the rows anew whenever a cell has ended, and passes everything on."""

    watcher: Watcher
    write: Callable[[], object]

    def changed(self, statuses: Sequence[Status]) -> None:
        """Pass it on."""
        self.watcher.changed(statuses)

    def ended(self, status: Status) -> None:
        """Pass it on, and write."""
        if status.state is State.DONE:
            self.write()
        self.watcher.ended(status)


def _write_rows(rows: CellRows, placed: Sequence[Placed], place: Path) -> dict[Path, str]:
    """Write the rows of all cells that are done; return by folder what could not be read."""
    found, problems = rows.rows(placed)
    write_rows(place, found, CELLS)
    return problems


def _without_rows(
    statuses: list[Status], problems: dict[Path, str], on_note: Callable[[str], None]
) -> list[Status]:
    """Return ``statuses``, those without a row as failed; note what is wrong with other cells."""
    others = dict(problems)
    for status in statuses:
        reason = others.pop(status.job.folder, None)
        if reason is not None and status.state is State.DONE:
            status.state, status.reason = State.FAILED, reason
    for folder, reason in others.items():
        on_note(f"{folder.name}: {reason}")
    return statuses


def sell(admin: AdminClient, plans: Sequence[SoldPlan]) -> None:
    """Have the victim sell every one of ``plans``.

    Raises:
        ExperimentError: the victim does not sell one of them; the message says which, and why.
    """
    for plan in {one.name: one for one in plans}.values():
        try:
            admin.put_plan({"name": plan.name, **plan.document})
        except Refusal as refusal:
            if refusal.code != "malformed-request":
                raise
            raise ExperimentError(
                f"plan {plan.spec.id} in label mode {plan.mode.id}: {refusal.detail.rstrip('.')}. "
                "Mend the plan in the study, or name the modes that it allows in its label_modes."
            ) from refusal


def _distinct(cells: Sequence[Placed]) -> list[Placed]:
    folders = {cell.name: folder for cell, folder in cells}
    return [(one, folders[one.name]) for one in distinct(tuple(cell for cell, _ in cells))]


def _plain(cell: StudyCell, folder: Path, home: Path) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "plan": cell.plan.spec.id,
        "sold_as": cell.plan.name,
        "label_mode": cell.plan.mode.id,
        "budget": cell.budget,
        "attacker": cell.attacker.id,
        "seed": cell.seed,
        "identity": cell.cell.identity,
        "folder": folder.relative_to(home).as_posix(),
    }
