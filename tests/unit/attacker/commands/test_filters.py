import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from attacker import __main__ as command_line
from attacker.commands.filters import filters
from attacker.lab.filters.study import FilterStudy
from tests.support.filters import band_network, random_network, write_model

QUICK = ("--layers", "conv1", "--steps", "4", "--octaves", "1")


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    write_model(tmp_path / "a", band_network())
    write_model(tmp_path / "b", random_network())
    return str(tmp_path / "a"), str(tmp_path / "b")


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(filters)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def test_two_models_end_in_a_page_and_a_table(models: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(*models, "--out", str(out), *QUICK)
    assert result.exit_code == 0, result.output
    assert "any two" in result.output
    assert f"Page: {out / 'filters.html'}" in result.output
    assert {path.name for path in out.iterdir()} == {
        "figures", "filters.csv", "filters.html", "filters.json", "signals"
    }  # fmt: skip
    command = f"earshot-attacker filters {models[0]} {models[1]} --out {out} --layers conv1"
    assert command in (out / "filters.html").read_text()


def test_one_model_alone_has_no_distances(models: tuple[str, str], tmp_path: Path) -> None:
    result = run(models[0], "--out", str(tmp_path / "out"), *QUICK, "--filters", "2")
    assert result.exit_code == 0, result.output
    assert "any two" not in result.output
    assert "2" in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [("--step-size", "0"), ("--step-size", "1.5"), ("--octaves", "0"), ("--filters", "0")],
)
def test_numbers_that_mean_nothing_are_refused(
    models: tuple[str, str], tmp_path: Path, option: str, value: str
) -> None:
    result = run(models[0], "--out", str(tmp_path / "out"), option, value)
    assert result.exit_code == 2
    assert option in result.output
    assert not (tmp_path / "out").exists()


def test_an_unknown_layer_is_one_line_and_exit_code_two(
    models: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["earshot-attacker", "filters", models[0], "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*words, "--layers", "conv1,conv9"])
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --layers: there is no layer 'conv9'. Name some of conv1, conv2")
    assert not (tmp_path / "out").exists()


def test_an_interruption_says_how_to_go_on(
    models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FilterStudy, "carry_out", stop)
    result = run(models[0], "--out", str(tmp_path / "out"), *QUICK)
    assert result.exit_code == 130
    assert "the same command goes on" in result.output
