"""From a table to its cells and ingredients: identities and places."""

from pathlib import Path
from typing import Any

import pytest

from attacker.cells.cell import mark_done
from attacker.errors import ExperimentError
from attacker.source_model import SourceTask
from attacker.sources.wavegan import WaveganSpec
from attacker.tables.file import load_table
from attacker.tables.resolve import Resolved, resolve
from attacker.tables.schema import Table
from attacker.wavegan.config import TrainGanFile
from shared.checkpoint import CheckpointError
from shared.config import load_yaml
from tests.support.tables import changed, write_table, write_victim


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARSHOT_VICTIM", str(tmp_path / "victim"))
    return write_victim(tmp_path / "victim")


def table(tmp_path: Path, **changes: Any) -> Table:
    return load_table(write_table(tmp_path / "t.yaml", **changes), "desk")


def placed(table: Table, out: Path) -> Resolved:
    return resolve(table, out, out / "victim")


def identities(resolved: Resolved) -> dict[str, str]:
    return {cell.name: cell.identity for cells in resolved.cells.values() for cell in cells}


def test_names_become_places_and_jobs_that_are_needed(victim: Path, tmp_path: Path) -> None:
    resolved = placed(table(tmp_path), tmp_path / "out")
    gan, known, other = (resolved.cells[name][0] for name in ("gan", "known-1", "other-2"))
    by_name = {one.name: one for one in resolved.ingredients}
    source = gan.experiment.campaigns[0].source
    assert isinstance(source, WaveganSpec)
    assert source.generator == str(by_name["generator gan"].folder)
    assert gan.needs == ("generator gan",)
    assert known.needs == ()
    layers = known.experiment.surrogate.initial_layers
    assert layers is not None
    assert layers.checkpoint == "$EARSHOT_VICTIM"  # a place of this machine is in no cell
    assert other.needs == ("model other",)
    assert resolved.cells["proxy-full"][0].needs == ()
    assert isinstance(by_name["generator gan"].file, TrainGanFile)
    task = by_name["model other"].file
    assert isinstance(task, SourceTask)
    assert task.network.filters == 8
    assert task.recipe.epochs == 1
    assert by_name["model victim"].job((), 1.0) is None


def test_only_what_a_row_needs_is_made(tmp_path: Path) -> None:
    data: dict[str, Any] = {"rows": changed()["rows"][:2], "claims": [], "curve": None}
    resolved = placed(table(tmp_path, **data), tmp_path / "out")
    assert resolved.ingredients == ()  # and no victim's folder is asked for


def test_identities_hold_everything_a_cell_depends_on_and_nothing_else(
    victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(placed(table(tmp_path), tmp_path / "out"))
    assert len(set(before.values())) == 10
    same: dict[str, Any] = {
        "name": "other-name", "title": "x", "rows__0__label": "y", "rows__0__paper": {}
    }  # fmt: skip
    assert identities(placed(table(tmp_path, **same), tmp_path / "elsewhere")) == before
    for change, touched in (
        ({"profiles__desk__generators": {"gan": {"gan": {"steps": 3}}}}, {"gan"}),
        ({"models__other__seed": 4}, {"other-2"}),
        ({"corpora__few__clips": 5}, {"few"}),
        ({"rows__0__surrogate": {"labels": "hard"}}, {"proxy-full"}),
        ({"query": {"in_flight": 2}}, set()),
    ):
        after = identities(placed(table(tmp_path, **change), tmp_path / "out"))
        differing = {name.rsplit("-s", 1)[0] for name in before if before[name] != after[name]}
        assert differing == touched, change
    write_victim(victim, seed=1)
    after = identities(placed(table(tmp_path), tmp_path / "out"))
    assert [name for name in before if before[name] != after[name]] == ["known-1-s0", "known-1-s1"]


def test_an_equal_ingredient_is_used_under_whatever_name(victim: Path, tmp_path: Path) -> None:
    one = next(iter(placed(table(tmp_path), tmp_path / "out").ingredients))
    renamed = one.folder.with_name(f"vc-gan-{one.identity}")
    mark_done(renamed, {})
    again = next(iter(placed(table(tmp_path), tmp_path / "out").ingredients))
    assert again.folder == renamed


def test_a_victim_folder_that_nobody_named_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARSHOT_VICTIM", raising=False)
    with pytest.raises(ExperimentError, match="--victim-folder"):
        placed(table(tmp_path), tmp_path / "out")
    monkeypatch.setenv("EARSHOT_VICTIM", str(tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match="nothing"):
        placed(table(tmp_path), tmp_path / "out")


def test_a_given_generator_of_another_size_is_refused(victim: Path, tmp_path: Path) -> None:
    given = {"folder": "attacker/wavegan/generators/desk"}
    plain = {"profiles__desk__generators": {}, "generators__gan": given}
    with pytest.raises(ExperimentError, match=r"generators\.gan.*4,096.*1,024"):
        placed(table(tmp_path, **plain), tmp_path / "out")
    fits = {"profiles__desk__audio": {"sample_rate_hz": 4000, "clip_samples": 4096}}
    (one, *_) = placed(table(tmp_path, **plain, **fits), tmp_path / "out").ingredients
    assert one.file is None
    assert one.job((), 1.0) is None
    absent = {"profiles__desk__generators": {}, "generators__gan": {"folder": "no/such"}}
    with pytest.raises(CheckpointError, match="no/such"):
        placed(table(tmp_path, **absent), tmp_path / "out")


def test_an_ingredient_writes_what_its_job_reads(victim: Path, tmp_path: Path) -> None:
    for one in placed(table(tmp_path), tmp_path / "out").ingredients:
        job = one.job(("--device", "cpu"), 5.0)
        if job is None or one.file is None:
            continue
        one.write()
        command, config, *options = job.arguments
        assert command in ("train-gan", "train-model")
        assert load_yaml(Path(config), type(one.file)) == one.file
        assert options == ["--out", str(one.folder), "--device", "cpu"]
        with pytest.raises(CheckpointError):
            job.conclude()
