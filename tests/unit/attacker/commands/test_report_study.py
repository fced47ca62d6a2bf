"""`earshot-attacker report study FOLDER`: which folder is meant, what is told and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import study_tables as made

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = made.cells("none", {500: 0.5}) + made.both("guard", {500: 0.1}, {500: 0.2})
    honest = made.honest("none") + made.honest("guard")
    return made.write_all(tmp_path / "tiny", rows, honest)


@pytest.mark.parametrize("words", [("study",), ()])
def test_the_page_is_written_beside_the_tables(call: Call, folder: Path, words: object) -> None:
    assert isinstance(words, tuple)
    code, output = call("report", *words, folder)
    assert code == 0
    assert "Sell soft answers under guard." in output
    assert f"Report: {folder / 'study.html'}" in output
    assert f"Markdown: {folder / 'study.md'}" in output
    assert f"report {' '.join([*words, str(folder)])}" in (folder / "study.md").read_text()


def test_both_files_may_lie_elsewhere(call: Call, folder: Path, tmp_path: Path) -> None:
    page, markdown = tmp_path / "docs" / "page.html", tmp_path / "docs" / "page.md"
    code, _ = call("report", "study", folder, "--out", page, "--markdown", markdown)
    assert code == 0
    assert page.is_file()
    assert markdown.is_file()
    assert not (folder / "study.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("study",), "needs the folder of a study"),
        (("study", "nowhere"), "there is no cells.parquet here"),
        (("nowhere", "elsewhere"), "one folder at a time"),
        (("study", "TINY", "--bundle", "x"), "--bundle: not for a study"),
    ],
)
def test_what_makes_no_sense_is_refused(
    call: Call, folder: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    code, output = call("report", *(str(folder) if word == "TINY" else word for word in words))
    assert code == 2
    assert said in output
    assert "Traceback" not in output
