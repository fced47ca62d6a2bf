"""table.json: what a report reads back."""

import json
from pathlib import Path

import pytest

from attacker.cells.cell import mark_done
from attacker.errors import ExperimentError
from attacker.tables.file import load_table
from attacker.tables.manifest import (
    CELLS,
    read_manifest,
    victim_folder,
    write_manifest,
)
from attacker.tables.progress import MANIFEST_NAME, find_manifests
from attacker.tables.resolve import resolve
from shared.contract import ModelCard
from tests.support.tables import write_table, write_victim

CARD = ModelCard(
    labels=["a", "b"],
    sample_rate_hz=4000,
    clip_samples=1024,
    label_mode="soft",
    checkpoint="0123456789abcdef",
    max_batch_clips=64,
)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARSHOT_VICTIM", str(write_victim(tmp_path / "victim")))
    table = load_table(write_table(tmp_path / "t.yaml"), "desk")
    out = tmp_path / "out"
    cells = dict(resolve(table, out, victim_folder(out, CARD.checkpoint)).cells)
    return write_manifest(out, table, "desk", CARD, cells, "earshot-attacker run t")


def test_a_manifest_reads_back(written: Path, tmp_path: Path) -> None:
    assert written == tmp_path / "out" / "0123456789ab" / "tiny-desk"
    run = read_manifest(written)
    assert run.table == load_table(tmp_path / "t.yaml", "desk")
    assert (run.profile, run.victim, run.command) == ("desk", CARD, "earshot-attacker run t")
    assert list(run.cells) == [row.id for row in run.table.rows]
    assert [cell.seed for cell in run.cells["few"]] == [0, 1]
    cell = run.cells["few"][1]
    assert cell.folder == victim_folder(tmp_path / "out", CARD.checkpoint) / CELLS / (
        f"few-s1-{cell.identity}"
    )
    assert not cell.done
    mark_done(cell.folder, {})
    assert read_manifest(written).cells["few"][1].done


def test_manifests_are_found_and_may_be_moved(written: Path, tmp_path: Path) -> None:
    assert find_manifests(tmp_path / "out") == [written]
    (tmp_path / "out").rename(tmp_path / "moved")
    (moved,) = find_manifests(tmp_path / "moved")
    assert read_manifest(moved).cells["few"][0].folder.is_relative_to(tmp_path / "moved")


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"table": {}}'])
def test_a_damaged_manifest_is_explained(written: Path, text: str | None) -> None:
    path = written / MANIFEST_NAME
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ExperimentError, match=r"(Run the table again|Name a folder)"):
        read_manifest(written)


def test_what_another_version_wrote_is_explained(written: Path) -> None:
    path = written / MANIFEST_NAME
    data = json.loads(path.read_text())
    data["table"]["columns"] = ["glamour"]
    path.write_text(json.dumps(data))
    with pytest.raises(ExperimentError, match=r"columns\.0.*Run the table again"):
        read_manifest(written)
