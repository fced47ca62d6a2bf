"""Running a table: what is checked before anything is bought, and what is left to do."""

from pathlib import Path
from typing import Any

import pytest

from attacker.cells.cell import mark_done
from attacker.cells.jobs import Job
from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.tables.file import load_table
from attacker.tables.forecast import forecast_table
from attacker.tables.manifest import CELLS
from attacker.tables.run import TableRunner
from shared.contract import AccountStatus, ModelCard
from shared.corpora import CorpusError
from tests.support.tables import write_proxy, write_table, write_victim


class World:
    """A victim's folder, its card, a proxy corpus, and tables for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.victim = write_victim(path / "victim")
        write_proxy(path / "proxy")

    def card(self, **changes: Any) -> ModelCard:
        from shared import checkpoint

        facts = {
            "labels": ["ann", "bob"],
            "sample_rate_hz": 4000,
            "clip_samples": 1024,
            "label_mode": "soft",
            "checkpoint": checkpoint.load_card(self.victim)[checkpoint.TENSORS_HASH],
            "max_batch_clips": 64,
        }
        return ModelCard.model_validate(facts | changes)

    def runner(self, **changes: Any) -> TableRunner:
        table = load_table(write_table(self.path / "t.yaml", **changes), "desk")
        return TableRunner(
            table=table,
            profile="desk",
            out=self.path / "out",
            url="http://nowhere",
            keys=("k",),
            cache=self.path / "cache",
            device="cpu",
            patience_s=1,
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("EARSHOT_VICTIM", str(tmp_path / "victim"))
    monkeypatch.setenv("TINY_PROXY", str(tmp_path / "proxy"))
    return World(tmp_path)


def account(**changes: Any) -> AccountStatus:
    facts = {
        "account": "a",
        "plan": "soft",
        "budget": None,
        "spent": 0,
        "remaining": None,
        "rate_per_s": 10.0,
        "burst": 20,
        "price_per_clip": 0.5,
    }
    return AccountStatus.model_validate(facts | changes)


def test_a_whole_world_is_ready(world: World) -> None:
    resolved = world.runner().prepare(world.card())
    assert sum(map(len, resolved.cells.values())) == 10


@pytest.mark.parametrize("change", [{"sample_rate_hz": 16000}, {"clip_samples": 4096}])
def test_a_victim_of_another_audio_is_refused(world: World, change: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match=r"tiny with the profile desk.*smoke\.yaml"):
        world.runner().prepare(world.card(**change))


def test_the_folder_of_another_victim_is_refused(world: World) -> None:
    with pytest.raises(ExperimentError, match="--victim-folder"):
        world.runner().prepare(world.card(checkpoint="another"))


@pytest.mark.parametrize("value", [None, ""])
def test_a_victim_that_nobody_named_says_how_to_name_it(
    world: World, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("EARSHOT_VICTIM")
    if value is not None:
        monkeypatch.setenv("EARSHOT_VICTIM", value)
    for change in ({"rows__2": None}, {"rows__3": None, "rows__2__iterations": 2}):
        changes: dict[str, Any] = {"claims": [], "curve": None, **change}
        with pytest.raises(KnowledgeMissing, match=r"--victim-folder, or set EARSHOT_VICTIM"):
            world.runner(**changes).prepare(world.card())


def test_a_corpus_whose_variable_is_not_set_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINY_PROXY")
    with pytest.raises(CorpusError, match="the environment variable TINY_PROXY is not set"):
        world.runner().prepare(world.card())


def test_class_counts_that_are_not_there_are_refused(world: World) -> None:
    (world.victim / "class_counts.json").unlink()
    with pytest.raises(KnowledgeMissing, match=r"class_counts\.json in the folder"):
        world.runner().prepare(world.card())


def test_a_missing_corpus_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_PROXY", "/no/such/folder")
    with pytest.raises(CorpusError, match=r"/no/such/folder.*written as '\$TINY_PROXY'"):
        world.runner().prepare(world.card())


def test_a_subset_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(CorpusError, match="99 clips are wanted"):
        world.runner(corpora__few__clips=99).prepare(world.card())


def test_a_corpus_of_a_source_model_is_looked_at_too(world: World) -> None:
    absent = {"kind": "speaker_tree", "root": "/no/such/task"}
    changes: dict[str, Any] = {"corpora__task": absent, "models__other__corpus": "task"}
    with pytest.raises(CorpusError, match="/no/such/task"):
        world.runner(**changes).prepare(world.card())


def test_finished_and_equal_cells_are_not_to_do(world: World) -> None:
    runner = world.runner(rows__1={"id": "again", "label": "x", "source": {"kind": "proxy"}},
                          profiles__desk__rows={})  # fmt: skip
    resolved = runner.prepare(world.card())
    home = world.path / "out" / "victim"
    names = [cell.name for cell, _ in runner.todo(resolved, home)]
    assert len(names) == 8
    assert not any(name.startswith("again") for name in names)
    mark_done(resolved.cells["again"][0].folder(home / CELLS), {})
    names = [cell.name for cell, _ in runner.todo(resolved, home)]
    assert len(names) == 7
    assert "proxy-full-s0" not in names


def test_a_table_needs_the_keys_of_its_largest_sybil(world: World) -> None:
    assert world.runner().table.accounts == 1
    runner = world.runner(query={"batch_clips": 10, "accounts": 2}, rows__0__query={"accounts": 3})
    assert runner.table.accounts == 3
    cells = runner.prepare(world.card()).cells
    found = {row: made[0].experiment.query.accounts for row, made in cells.items()}
    assert found == dict.fromkeys(cells, 2) | {"proxy-full": 3}
    with pytest.raises(ExperimentError, match="accounts is 3, but one key is given"):
        runner.forecast()


def test_jobs_are_ordered_and_no_key_is_in_their_arguments(world: World) -> None:
    runner = world.runner()
    home = world.path / "out" / "victim"
    jobs = runner._jobs(runner.prepare(world.card()), home)
    by_name: dict[str, Job] = {job.name: job for job in jobs}
    assert len(by_name) == 12
    assert by_name["gan-s1"].needs == ("generator gan",)
    assert by_name["gan-s1"].arguments[0] == "run"
    assert "http://nowhere" in by_name["gan-s1"].arguments
    assert not any("k" in job.arguments for job in jobs)
    assert by_name["generator gan"].arguments[0] == "train-gan"
    assert by_name["proxy-full-s0"].cost_s > by_name["few-s0"].cost_s


def test_a_forecast_counts_what_is_left(world: World) -> None:
    runner = world.runner()
    resolved = runner.prepare(world.card())
    home = world.path / "out" / "victim"
    mark_done(resolved.cells["few"][0].folder(home / CELLS), {})
    found = forecast_table(
        runner.table, resolved, home, world.card(), account(remaining=100, budget=200), runner.cache
    )
    rows = {row.row: row for row in found.rows}
    assert (rows["few"].cells, rows["few"].done, rows["few"].queries) == (2, 1, 20)
    assert found.queries == 8 * 40 + 20
    assert found.price == found.queries * 0.5
    assert found.missing == found.queries - 100
    assert found.rate_s == (found.queries - 20) / 10
    assert set(found.ingredients) == {"generator gan", "model other"}
    assert all(seconds > 0 for seconds in found.ingredients.values())
    # At most alpha * 6 answers of each of two labels are kept, and trained on.
    assert 0 < rows["gan"].training_s < rows["proxy-full"].training_s
    assert found.training_s > sum(row.training_s for row in found.rows)
