"""The command of the vision control, on tiny folders of drawn shapes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from attacker.__main__ import exit_code
from attacker.commands.vision import vision
from attacker.lab.vision import control
from attacker.lab.vision.experiment import load_vision
from shared.config import ConfigError
from shared.messages import is_ours
from tests.support.images import PROXY_SHAPES, VICTIM_SHAPES, write_shapes
from tests.unit.attacker.lab.vision.test_experiment import SHIPPED


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of images: four shapes for the victim, five others for the proxy."""
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root / "victim", VICTIM_SHAPES, 12)
    write_shapes(root / "proxy", PROXY_SHAPES, 12, seed=1)
    return root


def call(file: Path, folders: Path, out: Path, *options: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(vision)
    words = [str(file), "--victim-images", str(folders / "victim"), "--out", str(out)]
    words += ["--proxy-images", str(folders / "proxy"), "--cache", str(out.parent / "cache")]
    return CliRunner().invoke(app, [*words, "--device", "cpu", *options])


def shorter(folder: Path, **changes: Any) -> Path:
    """The file that ships, its desk made shorter still."""
    data = yaml.safe_load(SHIPPED.read_text())
    data["profiles"]["desk"]["recipe"] |= {"epochs": 2, "drop_after_epochs": [1]}
    data["profiles"]["desk"] |= {"seeds": [0, 1], **changes}
    path = folder / "shorter.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_desk_of_what_ships_runs_to_its_page(folders: Path, tmp_path: Path) -> None:
    file, out = shorter(tmp_path), tmp_path / "out"
    first = call(file, folders, out, "--profile", "desk")
    assert first.exit_code == 0, first.output
    assert "figure1-vision: the victim is right on" in first.output
    assert "surrogate 18 of 18, proxy-layers4-seed1: done" in first.output
    rows = [line.split()[:2] for line in first.output.splitlines() if line.startswith("proxy ")]
    assert rows == [["proxy", str(k)] for k in range(5)]
    assert str(out / "report.html") in first.output.replace("\n", "")
    assert "figure1-vision" in (out / "report.html").read_text()
    results = json.loads((out / "results.json").read_text())
    assert [curve["source"] for curve in results["curves"]] == ["victim", "proxy"]
    assert results["models"][0]["test_images"] == 8
    assert load_vision(out / "experiment.yaml") == load_vision(file, "desk")
    again = call(file, folders, out, "--profile", "desk")
    assert again.exit_code == 0, again.output
    assert "surrogate" not in again.output.split("figure1-vision")[0]  # nothing was trained
    assert json.loads((out / "results.json").read_text()) == results


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"first_layers": [0, 9]}, (), "profile desk: .*no k of 9"),
        ({"first_layers": [0, 5]}, (), "tells 5 classes apart, and the victim has 4"),
        ({}, ("--victim-images", "no-such"), "no-such: no such folder"),
        ({}, ("--proxy-images", "ONE"), "the only class is 'disc'"),
        ({}, ("--proxy-images", "BROKEN"), r"x\.png: not a readable PNG or JPEG image"),
        ({}, ("--profile", "tiny"), "no profile 'tiny'"),
        ({}, ("--device", "gpu0"), "unknown device"),
    ],
)
def test_what_does_not_serve_is_one_line_and_trains_nothing(
    folders: Path, tmp_path: Path, changes: Any, options: tuple[str, ...], message: str
) -> None:
    write_shapes(tmp_path / "ONE", ["disc"], 2)
    write_shapes(tmp_path / "BROKEN", ["disc", "ring"], 2)
    (tmp_path / "BROKEN" / "disc" / "x.png").write_bytes(b"no image")
    places = {"ONE", "BROKEN"}
    options = tuple(str(tmp_path / word) if word in places else word for word in options)
    result = call(shorter(tmp_path, **changes), folders, tmp_path / "o", "--profile=desk", *options)
    error = result.exception
    assert isinstance(error, Exception)
    assert is_ours(error)
    assert pytest.approx(exit_code(error)) in (1, 2)
    assert not (tmp_path / "o").exists()
    with pytest.raises(type(error), match=message):
        raise error
    assert "\n" not in str(error)


def test_errors_of_the_file_end_with_code_two(folders: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "no-such.yaml", shorter(tmp_path, first_layers=[0, 9])):
        error = call(file, folders, tmp_path / "o").exception
        assert isinstance(error, ConfigError)
        assert exit_code(error) == 2


def test_an_interruption_says_how_to_go_on(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(control, "learn_task", interrupt)
    result = call(shorter(tmp_path), folders, tmp_path / "o", "--profile", "desk")
    assert result.exit_code == 130
    assert "The same command goes on" in result.output
