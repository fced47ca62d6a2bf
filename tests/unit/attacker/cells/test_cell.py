"""Cells: identity by content, and what counts as finished."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacker.cells.cell import (
    DONE_NAME,
    Cell,
    bought,
    content_hash,
    cut_short,
    essence,
    experiment_hash,
    inspect,
    is_done,
    mark_done,
    place_of,
    read_done,
)
from attacker.errors import CellUnfinished
from attacker.experiment import Experiment
from attacker.journal import Journal
from attacker.lab.study.run import ENDS
from shared import checkpoint

DATA: dict[str, Any] = {
    "name": "row-s0",
    "proxy": {"kind": "speaker_tree", "root": "somewhere"},
    "query": {"batch_clips": 5},
    "budget": 10,
    "marks": [5, 10],
    "campaigns": [{"name": "attack", "source": {"kind": "proxy"}, "sampler": {"kind": "keep_all"}}],
    "surrogate": {"network": {"kind": "knagg_cnn"}},
}
EXPERIMENT = Experiment.model_validate(DATA)


def buy(folder: Path, answered: int, ended: str | None, *, kept: bool = True) -> None:
    identity = {"n_classes": 3, "label_mode": "hard", "budget": 10}
    journal = Journal.open(folder / "attack", identity)
    for first in range(0, answered, 5):
        batch = journal.plan(iteration=1, first_index=first, clips=5, payload_sha256="x")
        labels = np.arange(5) % 3
        journal.answer(batch, labels)
        journal.observe(batch, labels, np.full(5, kept))
    journal.end(ended)
    journal.close()


def train(folder: Path, mark: int) -> str:
    place = folder / "attack" / "surrogates" / str(mark)
    return checkpoint.save(place, {"w": torch.full((2,), float(mark))}, {"mark": mark})


def test_an_identity_is_of_the_content_and_not_of_the_name() -> None:
    same = experiment_hash({**DATA, "name": "another"})
    assert experiment_hash(DATA) == same
    assert len(same) == 12
    assert experiment_hash({**DATA, "seed": 1}) != same
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})


def test_what_is_left_at_its_default_is_in_no_identity_but_every_kind_is() -> None:
    said = essence(EXPERIMENT)
    assert said["proxy"] == {"kind": "speaker_tree", "root": "somewhere"}
    assert said["campaigns"][0]["source"] == {"kind": "proxy"}
    assert said["surrogate"] == {"network": {"kind": "knagg_cnn"}}
    assert "knowledge" not in said
    written_out = Experiment.model_validate(EXPERIMENT.model_dump())
    assert essence(written_out) == said
    changed = {**DATA, "surrogate": {**DATA["surrogate"], "holdout": 0.2}}
    assert essence(Experiment.model_validate(changed))["surrogate"]["holdout"] == 0.2


def test_an_equal_cell_is_found_under_whatever_name_it_was_begun(tmp_path: Path) -> None:
    identity = experiment_hash(DATA)
    cell = Cell("row-s0", identity, EXPERIMENT)
    assert cell.folder(tmp_path) == tmp_path / f"row-s0-{identity}"
    (tmp_path / f"another-{identity}").mkdir()
    assert cell.folder(tmp_path).name == f"another-{identity}"
    finished = tmp_path / f"zzz-{identity}"
    mark_done(finished, {})
    assert cell.folder(tmp_path) == finished
    assert place_of(tmp_path, "row", "0" * 12) == tmp_path / f"row-{'0' * 12}"


def test_a_finished_cell_says_what_it_came_to(tmp_path: Path) -> None:
    buy(tmp_path, 10, "budget-spent")
    ids = {str(mark): train(tmp_path, mark) for mark in (5, 10)}
    facts = inspect(tmp_path, EXPERIMENT)
    assert facts == {
        "attack": {
            "ended": "budget-spent", "bought": 10, "kept": 10, "labels_seen": 3, "surrogates": ids
        }
    }  # fmt: skip
    assert bought(tmp_path) == 10
    assert not is_done(tmp_path)
    mark_done(tmp_path, facts)
    assert is_done(tmp_path)
    assert read_done(tmp_path)["attack"] == facts["attack"]


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"attack": {"ended', b"\xff\xfe{}"])
def test_a_cell_whose_note_cannot_be_read_is_not_done(tmp_path: Path, damage: bytes) -> None:
    mark_done(tmp_path, {})
    (tmp_path / DONE_NAME).write_bytes(damage)
    assert not is_done(tmp_path)


@pytest.mark.parametrize(("ended", "word"), [("account-exhausted", "exhausted"), (None, "inter")])
def test_a_cell_that_was_cut_short_is_not_finished(
    tmp_path: Path, ended: str | None, word: str
) -> None:
    buy(tmp_path, 5, ended)
    train(tmp_path, 5)
    with pytest.raises(CellUnfinished, match=rf"{word}.*5 of 10.*same command"):
        inspect(tmp_path, EXPERIMENT)


def test_a_cell_that_ran_out_of_patience_says_how_to_go_on_and_may_be_a_result(
    tmp_path: Path,
) -> None:
    buy(tmp_path, 5, "out-of-patience")
    train(tmp_path, 5)
    with pytest.raises(CellUnfinished, match=r"out of patience after 5 of 10.*--patience-s"):
        inspect(tmp_path, EXPERIMENT)
    facts = inspect(tmp_path, EXPERIMENT, ENDS)["attack"]
    assert (facts["ended"], facts["bought"], list(facts["surrogates"])) == (
        "out-of-patience",
        5,
        ["5"],
    )
    assert cut_short(tmp_path) == ""
    mark_done(tmp_path, {"identity": "x", "attack": facts})
    assert cut_short(tmp_path) == "out of patience after 5 clips"
    mark_done(tmp_path, {"attack": {**facts, "ended": "caps-met"}})
    assert cut_short(tmp_path) == ""


def test_a_missing_surrogate_is_noticed_unless_too_little_was_kept(tmp_path: Path) -> None:
    buy(tmp_path / "full", 10, "budget-spent")
    train(tmp_path / "full", 5)
    with pytest.raises(checkpoint.CheckpointError):
        inspect(tmp_path / "full", EXPERIMENT)
    buy(tmp_path / "empty", 10, "caps-met", kept=False)
    assert inspect(tmp_path / "empty", EXPERIMENT)["attack"]["surrogates"] == {}


def test_clips_are_counted_while_a_journal_is_being_begun(tmp_path: Path) -> None:
    assert bought(tmp_path) == 0
    (tmp_path / "attack").mkdir()
    (tmp_path / "attack" / "journal.sqlite").touch()
    assert bought(tmp_path) == 0
