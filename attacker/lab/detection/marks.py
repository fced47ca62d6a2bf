"""What an attacker's surrogate could do by the clips it had bought, from a run or from a study."""

from attacker.errors import ExperimentError
from attacker.lab.detection.schema import CellsOf, Suspect
from attacker.lab.evaluate import LAB_FOLDER
from attacker.lab.results import read_results
from attacker.lab.study.folder import StudyFolder
from shared.corpora import expanded

Marks = dict[int, float] | None
"""Accuracy by clips that were bought; None where it is not known."""


def marks_of(suspect: Suspect, study: StudyFolder | None = None) -> Marks:
    """Return the accuracies that the run or the cells of ``suspect`` say, if it names any.

    Cells are those of ``study``; without one they say nothing.

    Raises:
        ExperimentError: there is no such record, or it is of another attack.
    """
    if suspect.run is not None:
        return _of_run(suspect, suspect.run)
    if suspect.cells is not None and study is not None:
        return _of_cells(suspect, suspect.cells, study)
    return None


def _of_run(suspect: Suspect, run: str) -> Marks:
    folder = expanded(run)
    try:
        results = read_results(folder / LAB_FOLDER)
    except OSError as error:
        raise ExperimentError(
            f"attacker {suspect.name}: {folder} has not been measured ({error.strerror}). Run "
            f"`earshot-attacker report {folder}`, or leave `run` out."
        ) from error
    named = [c for c in results.campaigns if suspect.campaign in (None, c.name)]
    if len(named) != 1:
        names = ", ".join(c.name for c in results.campaigns)
        raise ExperimentError(
            f"attacker {suspect.name}: the run has the campaigns {names}. Set `campaign` to one."
        )
    return {mark.queries: mark.accuracy.value for mark in named[0].marks}


def _of_cells(suspect: Suspect, cells: CellsOf, study: StudyFolder) -> Marks:
    who = f"attacker {suspect.name}"
    found = study.attack(cells.attacker, cells.plan, cells.label_mode, who=who)
    # Another source learns other things from as many clips: its cells would be an invention here.
    if found.source != suspect.source:
        raise ExperimentError(
            f"{who}: it sends {suspect.source!r}, but the study's {cells.attacker} sent "
            f"{found.source!r} under {cells.plan}. Write the source as the study does, or leave "
            "`cells` out."
        )
    return found.accuracies()
