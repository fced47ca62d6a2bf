"""Runs a table: asks the victim who it is, checks everything, then runs what is not done yet."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from attacker.cells.cell import Cell, bought, inspect, is_done
from attacker.cells.jobs import Job, Status, Watcher, run_jobs
from attacker.errors import ExperimentError
from attacker.plan import ask
from attacker.sybil import demand_keys
from attacker.tables import VICTIM_VARIABLE
from attacker.tables.forecast import TableForecast, forecast_table
from attacker.tables.manifest import CELLS, victim_folder, write_manifest
from attacker.tables.resolve import Resolved, resolve
from attacker.tables.schema import Table
from attacker.wavegan.config import TrainGanFile
from shared import checkpoint
from shared.config import dump_yaml
from shared.contract import AccountStatus, ModelCard
from shared.corpora import Progress, expanded
from shared.runtime import choose_device

CELL_NAME = "cell.yaml"
_GAN_STEP_S, _MODEL_S = 0.4, 120.0
"""Of two processors at desk size: they weigh the jobs against one another, no more."""


@dataclass(frozen=True)
class TableRunner:
    """A table, the victim that it runs against, and where it is kept."""

    table: Table
    profile: str
    out: Path
    url: str
    keys: tuple[str, ...] = field(repr=False)
    """All cells buy under them: under the first alone, or as a Sybil under several."""
    cache: Path
    device: str
    patience_s: float
    jobs: int = 1

    def run(
        self,
        watcher: Watcher,
        command: str,
        on_corpus: Progress | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> tuple[Path, list[Status]]:
        """Run every cell that is not done yet; return the table's folder and what became of each.

        Raises:
            EarshotError, CorpusError: something that a cell needs is not there, or the victim is
                another one; nothing was bought.
        """
        card, account = self._ask()
        resolved = self.prepare(card, on_corpus)
        home = victim_folder(self.out, card.checkpoint)
        todo = self.todo(resolved, home)
        unpaid = sum(cell.experiment.budget - bought(folder) for cell, folder in todo)
        if account.remaining is not None and unpaid > account.remaining:
            on_note(
                f"The account has {account.remaining:,} clips left, and the cells that are not "
                f"done may buy up to {unpaid:,}: some may stop short. A budget never refills."
            )
        folder = write_manifest(
            self.out, self.table, self.profile, card, dict(resolved.cells), command
        )
        for one in resolved.ingredients:
            one.write()
        for cell, place in todo:
            text = dump_yaml(cell.experiment)
            checkpoint.write_atomically(place / CELL_NAME, text.encode())
        # Keys in the environment: a command line can be read by everybody on the machine. And
        # each cell says itself where its corpus lies, whatever is usual here.
        keys = {"EARSHOT_KEYS": "\n".join(self.keys), "EARSHOT_KEY": ""}
        environment = {**keys, "EARSHOT_PROXY_ROOT": ""}
        statuses = run_jobs(self._jobs(resolved, home), self.jobs, watcher, environment)
        return folder, statuses

    def prepare(self, card: ModelCard, on_corpus: Progress | None = None) -> Resolved:
        """Return the table's cells, when everything that they need is there.

        Raises:
            EarshotError, CorpusError: something is not there, or the victim is another one.
        """
        table = self.table
        what = f"{table.name} with the profile {self.profile}"
        table.audio.demand(card, self.url, what=what, victim=table.victim)
        self._check_victim_folder(card)
        resolved = resolve(table, self.out, victim_folder(self.out, card.checkpoint))
        for cells in resolved.cells.values():
            cells[0].experiment.granted_class_counts(card.labels)
        self._check_corpora(resolved, on_corpus)
        return resolved

    def todo(self, resolved: Resolved, home: Path) -> list[tuple[Cell, Path]]:
        """Return the cells that are not done, each once, with their folders."""
        placed = [(cell, cell.folder(home / CELLS)) for cell in resolved.distinct()]
        return [(cell, folder) for cell, folder in placed if not is_done(folder)]

    def forecast(self, on_corpus: Progress | None = None) -> TableForecast:
        """Return what is left of the table; nothing is bought or written.

        Raises:
            EarshotError, CorpusError: as :meth:`run`.
        """
        card, account = self._ask()
        resolved = self.prepare(card, on_corpus)
        home = victim_folder(self.out, card.checkpoint)
        device = str(choose_device(self.device))
        return forecast_table(self.table, resolved, home, card, account, self.cache, device)

    def _ask(self) -> tuple[ModelCard, AccountStatus]:
        own = demand_keys(self.keys, self.table.accounts)
        return asyncio.run(ask(self.url, own, self.patience_s))

    def _check_victim_folder(self, card: ModelCard) -> None:
        folder = os.environ.get(VICTIM_VARIABLE)
        if not folder or f"${VICTIM_VARIABLE}" not in self.table.model_dump_json():
            return
        known = checkpoint.load_card(expanded(folder))[checkpoint.TENSORS_HASH]
        if known != card.checkpoint:
            raise ExperimentError(
                f"{folder} holds the checkpoint {known[:12]}, and the victim at {self.url} serves "
                f"{card.checkpoint[:12]}. Give the folder of the very victim with --victim-folder."
            )

    def _check_corpora(self, resolved: Resolved, on_corpus: Progress | None) -> None:
        used = [c[0].experiment.proxy for c in resolved.cells.values()]
        used += [file.corpus for one in resolved.ingredients if (file := one.file) is not None]
        seen: set[str] = set()
        for spec in used:
            text = spec.model_dump_json()
            if text not in seen:
                seen.add(text)
                spec.build(self.cache, on_corpus)

    def _jobs(self, resolved: Resolved, home: Path) -> list[Job]:
        shared = ("--cache", str(self.cache), "--device", self.device)
        jobs: list[Job] = []
        for one in resolved.ingredients:
            job = one.job(shared, _ingredient_cost_s(one.file))
            jobs += [job] if job is not None else []
        asked = ("--url", self.url, "--patience-s", str(self.patience_s))
        options = (*asked, *shared)
        cells = resolved.distinct()
        return jobs + [_cell_job(cell, cell.folder(home / CELLS), options) for cell in cells]


def _cell_job(cell: Cell, folder: Path, options: tuple[str, ...]) -> Job:
    arguments = ("run", str(folder / CELL_NAME), "--out", str(folder), *options)
    return Job(
        name=cell.name,
        arguments=arguments,
        folder=folder,
        conclude=lambda: {"identity": cell.identity, **inspect(folder, cell.experiment)},
        needs=cell.needs,
        cost_s=cell.cost_s,
        progress=lambda: bought(folder),
    )


def _ingredient_cost_s(file: object) -> float:
    return file.gan.steps * _GAN_STEP_S if isinstance(file, TrainGanFile) else _MODEL_S
