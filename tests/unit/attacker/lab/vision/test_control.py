"""The control as a whole: every cell once, the same after a stop, and it measures what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from attacker.errors import ExperimentError
from attacker.lab.vision import cells, models, sgd
from attacker.lab.vision.cells import Bench, CellRow, score, start_surrogate
from attacker.lab.vision.control import Control
from attacker.lab.vision.experiment import Cell
from attacker.lab.vision.models import Task, TaskModel, learn_task
from shared.checkpoint import CheckpointError, load_card
from tests.unit.attacker.lab.vision.conftest import MakeControl


def silent(what: str, done: int, total: int) -> None:
    del what, done, total


def run(control: Control) -> dict[str, CellRow]:
    results, _ = control.carry_out(silent, ["vision"])
    return {row.cell.name: row for row in results.rows}


def untimed(rows: dict[str, CellRow]) -> dict[str, CellRow]:
    return {name: row.model_copy(update={"duration_s": 0.0}) for name, row in rows.items()}


def bench_of(control: Control) -> Bench:
    """The bench of a control, its models trained."""
    tasks = [
        Task.of("victim", control.victim, control.experiment),
        Task.of("proxy", control.proxy, control.experiment),
    ]
    learnt: dict[Any, TaskModel] = {
        task.name: learn_task(task, control.experiment, control.out / "models", progress=silent)
        for task in tasks
    }
    return Bench(control.experiment, *tasks, learnt, control.out, "cpu")


@pytest.fixture
def count_trainings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders in which trainings were begun since."""
    begun: list[Path] = []
    train = cells.train

    def counted(*given: Any, **named: Any) -> Any:
        begun.append(named["folder"])
        return train(*given, **named)

    monkeypatch.setattr(cells, "train", counted)
    monkeypatch.setattr(models, "train", counted)
    return begun


def test_every_cell_is_a_row_on_disk_and_runs_once(
    make_control: MakeControl, count_trainings: list[Path]
) -> None:
    control = make_control()
    told: list[tuple[str, int, int]] = []
    results, page = control.carry_out(lambda *what: told.append(what), ["vision", "file"])
    names = {cell.name for cell in control.experiment.cells()}
    assert {row.cell.name for row in results.rows} == names
    assert len(count_trainings) == 2 + len(names)
    on_disk = [json.loads(path.read_text()) for path in (control.out / "cells").iterdir()]
    assert len(on_disk) == len(names)
    assert {row["inputs_sha256"] for row in on_disk} == {r.inputs_sha256 for r in results.rows}
    assert ("model of the victim's task", 3, 3) in told
    assert ("surrogate 10 of 10, proxy-layers4-seed1", 3, 3) in told
    assert not list(control.out.rglob("state*/*"))
    assert json.loads((control.out / "results.json").read_text())["version"] == 1
    assert len((control.out / "cells.csv").read_text().splitlines()) == 1 + len(names)
    card = json.loads((control.out / "run.json").read_text())
    assert card["command"] == "earshot-attacker vision file"
    assert (card["victim_images"]["classes"], card["proxy_images"]["classes"]) == (3, 4)
    again, _ = control.carry_out(silent, ["vision"])
    assert again == results
    assert len(count_trainings) == 2 + len(names)
    assert page.is_file()


def test_more_cells_are_added_and_other_inputs_keep_what_was_there(
    make_control: MakeControl, count_trainings: list[Path]
) -> None:
    before = run(make_control(seeds=[0], first_layers=[0, 1]))
    assert len(count_trainings) == 2 + 3
    more = run(make_control(seeds=[0, 7], first_layers=[0, 1, 4]))
    assert len(count_trainings) == 5 + (2 + 5)
    assert {name: more[name] for name in before} == before
    out = make_control().out
    files = {path: path.read_bytes() for path in (out / "cells").iterdir()}
    recipe = {"epochs": 2, "batch_size": 8, "drop_after_epochs": [1]}
    other = run(make_control(seeds=[0], first_layers=[0, 1], recipe=recipe))
    assert len(count_trainings) == 12 + 5  # the models, too, were of another recipe
    name = "victim-layers1-seed0"
    assert other[name].inputs_sha256 != before[name].inputs_sha256
    assert {path: path.read_bytes() for path in files} == files


def test_a_row_that_was_cut_short_is_made_again(
    make_control: MakeControl, count_trainings: list[Path]
) -> None:
    control = make_control(seeds=[0], first_layers=[0, 1])
    before = run(control)
    (path,) = (control.out / "cells").glob("none-*")
    path.write_text(path.read_text()[:40])
    assert untimed(run(control)) == untimed(before)
    assert len(count_trainings) == 5 + 1


def test_a_control_that_was_stopped_goes_on_within_a_cell(
    make_control: MakeControl, count_trainings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(make_control("whole"))
    count_trainings.clear()
    monkeypatch.setattr(sgd, "SAVE_EVERY_S", 0.0)
    control = make_control("stopped")

    def stop(what: str, done: int, total: int) -> None:
        if what.endswith("victim-layers4-seed0") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        control.carry_out(stop, ["vision"])
    told: list[tuple[str, int, int]] = []
    results, _ = control.carry_out(lambda *what: told.append(what), ["vision"])
    rows = {row.cell.name: row for row in results.rows}
    assert untimed(rows) == untimed(expected)
    assert not list(control.out.rglob("state*/*"))
    assert told[0] == ("surrogate 3 of 10, victim-layers4-seed0", 3, 3)  # its last epoch alone
    assert len(count_trainings) == 2 + 10 + 1


def test_cells_of_a_seed_differ_in_what_they_were_given_alone(make_control: MakeControl) -> None:
    bench = bench_of(make_control())
    nothing, given = start_surrogate(bench, Cell(source="none", first_layers=0, seed=3))
    assert given == ()
    other, _ = start_surrogate(bench, Cell(source="none", first_layers=0, seed=4))
    assert not torch.equal(nothing.conv1.weight, other.conv1.weight)
    for source in ("victim", "proxy"):
        cell = Cell(source=source, first_layers=2, seed=3)  # type: ignore[arg-type]
        network, given = start_surrogate(bench, cell)
        assert given == ("conv1", "group1")
        known = bench.models[source].network.state_dict()  # type: ignore[index]
        for name, value in network.state_dict().items():
            expected = known if name.split(".")[0] in given else nothing.state_dict()
            assert torch.equal(value, expected[name]), name


def test_a_surrogate_that_is_given_everything_is_the_victim(make_control: MakeControl) -> None:
    bench = bench_of(make_control())
    victim = bench.victim.row
    assert victim.accuracy.value > 0.6  # of three colours
    everything, _ = start_surrogate(bench, Cell(source="victim", first_layers=5, seed=0))
    nothing, _ = start_surrogate(bench, Cell(source="none", first_layers=0, seed=0))
    same, other = score(bench, everything), score(bench, nothing)
    assert (same["fidelity"], same["accuracy"]) == (1.0, victim.accuracy.value)
    assert same["kl_nats"] == pytest.approx(0, abs=1e-6)
    assert other["fidelity"] < 1
    assert other["kl_nats"] > 0.01


def test_the_victims_answers_are_the_targets(make_control: MakeControl) -> None:
    bench = bench_of(make_control())
    transfer = bench.transfer_set
    assert len(transfer) == len(bench.proxy_task.training) < len(bench.proxy_task.images.labels)
    assert transfer.targets.shape == (len(transfer), bench.victim_task.n_classes)
    with torch.inference_mode():
        pixels = torch.from_numpy(transfer.pixels[:5]).permute(0, 3, 1, 2).float() / 255
        expected = bench.victim.network(pixels).softmax(1)
    torch.testing.assert_close(torch.from_numpy(transfer.targets[:5]), expected)


def test_only_what_gives_layers_is_trained(
    make_control: MakeControl, count_trainings: list[Path]
) -> None:
    control = make_control(sources=["victim"], seeds=[0], first_layers=[0, 1])
    results, _ = control.carry_out(silent, ["vision"])
    assert [model.task for model in results.models] == ["victim"]
    assert len(count_trainings) == 1 + 2
    alone = make_control("alone", sources=["proxy"], seeds=[0], first_layers=[0, 1])
    assert {model.task for model in alone.carry_out(silent, [])[0].models} == {"victim", "proxy"}


def test_a_head_that_does_not_fit_is_refused_before_any_training(
    make_control: MakeControl, count_trainings: list[Path]
) -> None:
    control = make_control(first_layers=[0, 5])
    with pytest.raises(ExperimentError, match="Name at most 4"):
        control.carry_out(silent, ["vision"])
    assert count_trainings == []
    assert not control.out.exists()


def test_an_altered_model_is_refused(make_control: MakeControl) -> None:
    control = make_control(seeds=[0], first_layers=[0, 1])
    run(control)
    (folder,) = (control.out / "models").glob("victim-*")
    assert load_card(folder)["kind"] == models.KIND
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="differ from the sha256"):
        run(control)
