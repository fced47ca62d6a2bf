"""The folder of a study, for what is measured beside its cells: of which victim, and how much was
stolen for how many clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from attacker.errors import ExperimentError
from attacker.lab.study.manifest import Manifest, read_manifest
from attacker.lab.study.read import CellRow, read_cells
from attacker.lab.study.schema import Attacker
from attacker.sources import SourceSpec
from shared.config import ConfigError, Frozen, validate


class _Sent(Frozen):
    source: SourceSpec


@dataclass(frozen=True)
class Attack:
    """What one attacker did under one plan in one label mode."""

    source: SourceSpec
    cells: tuple[CellRow, ...]
    """Over budgets and seeds; at least one."""

    def accuracies(self) -> dict[int, float]:
        """Return the mean accuracy over seeds at each budget, by the clips that were bought.

        A campaign that ended before its budget stands where it ended, on average over seeds, and
        one that was stopped before a surrogate could be trained counts as guessing.
        """
        found = {}
        for budget in sorted({cell.budget for cell in self.cells}):
            own = [cell for cell in self.cells if cell.budget == budget]
            bought = round(fmean(cell.bought for cell in own))
            found[bought] = fmean(cell.stolen for cell in own)
        return found


@dataclass(frozen=True)
class StudyFolder:
    """A study that has finished cells."""

    path: Path
    cells: tuple[CellRow, ...]
    manifest: Manifest
    checkpoint: str
    """sha256 of the tensors of its victim."""

    def demand_victim(self, checkpoint: str, *, who: str) -> None:
        """Refuse to serve another victim than the one with this ``checkpoint``.

        Raises:
            ExperimentError: the two differ; ``who`` says in the message whose checkpoint it is.
        """
        if checkpoint != self.checkpoint:
            raise ExperimentError(
                f"{self.path}: this study is of the victim {self.checkpoint[:12]}, but {who} is "
                f"{checkpoint[:12]}. Name the folder of a study of that victim."
            )

    def attack(self, attacker: str, plan: str, mode: str | None, *, who: str) -> Attack:
        """Return what ``attacker`` did under ``plan`` in label mode ``mode``, or in the only one.

        Raises:
            ExperimentError: it was not measured, or in more than one label mode and none is
                named; ``who`` says in the message who asks.
        """
        own = [c for c in self.cells if (c.attacker, c.plan) == (attacker, plan)]
        modes = sorted({c.label_mode for c in own})
        found = tuple(c for c in own if mode in (None, c.label_mode))
        if not found:
            raise ExperimentError(
                f"{who}: {self.path} has no finished cell of {attacker} under {plan}"
                f"{f' in label mode {mode}' if mode else ''}. It has those of {self._all()}. Name "
                "one of them in `cells`, or run the study on."
            )
        if mode is None and len(modes) > 1:
            raise ExperimentError(
                f"{who}: the study sold {plan} in the label modes {', '.join(modes)}. Set "
                "`cells.label_mode` to one."
            )
        return Attack(self._source(attacker, plan, mode or modes[0]), found)

    def sold(self, named: Sequence[str]) -> tuple[str, ...]:
        """Return what the plans ``named`` are sold under; all that were attacked if none is named.

        A plan goes by its id in all its label modes, by ID/MODE, or by the name it is sold under.

        Raises:
            ExperimentError: one of them is none of the study's, or has no finished cell.
        """
        places = dict.fromkeys((c.plan, c.label_mode) for c in self.cells)
        known = {at: name for at in places if (name := self.manifest.sold_as.get(at)) is not None}
        if not known:
            raise ExperimentError(
                f"{self.path}: its study.json does not say how its plans are sold. Run the study "
                "again; finished cells are kept."
            )
        found: dict[str, None] = {}
        for word in named or [plan for plan, _ in known]:
            own = [n for (plan, mode), n in known.items() if word in (plan, f"{plan}/{mode}", n)]
            if not own:
                raise ExperimentError(
                    f"{word}: no plan of {self.path} that has a finished cell. Name some of "
                    f"{', '.join(f'{plan}/{mode}' for plan, mode in known)}, or no plan at all to "
                    "measure each of them; leave --study out for plans of no study."
                )
            found |= dict.fromkeys(own)
        return tuple(found)

    def _all(self) -> str:
        return ", ".join(
            sorted({f"{c.attacker} under {c.plan} ({c.label_mode})" for c in self.cells})
        )

    def _source(self, attacker: str, plan: str, mode: str) -> SourceSpec:
        origin = f"{self.path}, attacker {attacker}"
        try:
            spec = validate(self.manifest.item("attackers", attacker), Attacker, origin=origin)
            return validate(
                {"source": spec.against(plan, mode)["source"]}, _Sent, origin=origin
            ).source
        except ConfigError as error:
            raise ExperimentError(f"{error}. Run the study again to write its manifest.") from error


def open_study(folder: Path) -> StudyFolder:
    """Return the study in ``folder``.

    Raises:
        ExperimentError: it holds no cells, or does not say of which victim they are.
    """
    cells, manifest = read_cells(folder), read_manifest(folder)
    checkpoint = manifest.text("victim", "checkpoint")
    if checkpoint is None:
        raise ExperimentError(
            f"{folder}: its study.json does not say of which victim it is. Run the study again; "
            "finished cells are kept."
        )
    return StudyFolder(folder, cells, manifest, checkpoint)
