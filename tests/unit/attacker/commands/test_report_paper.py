"""`earshot-attacker report` of tables: which folder is meant, what is refused, what is told."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attacker.commands.report_paper import paper_folder
from attacker.commands.run_table import comparing
from tests.support.paper_cells import World, tiny_world

Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A table of which nothing was bought."""
    return tiny_world(tmp_path_factory.mktemp("tiny"))


def test_the_word_paper_means_where_run_puts_tables() -> None:
    assert paper_folder(Path("paper")) == Path("runs/paper")
    assert paper_folder(Path("paper"), Path("elsewhere")) == Path("elsewhere")


def test_a_folder_of_tables_is_told_from_a_run(world: World, tmp_path: Path) -> None:
    assert paper_folder(world.out) == world.out
    (single,) = world.out.glob("*/tiny-desk")
    assert paper_folder(single) == single
    assert paper_folder(single, single) is None
    assert paper_folder(tmp_path) is None
    (tmp_path / "experiment.yaml").write_text("name: a run\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "table.json").write_text("{}")
    assert paper_folder(tmp_path) is None


def test_without_a_bundle_the_tables_are_listed(world: World, call: Call, tmp_path: Path) -> None:
    page, markdown = tmp_path / "page.html", tmp_path / "tables.md"
    code, output = call("report", world.out, "--out", page, "--markdown", markdown)
    assert code == 0
    name = world.card.checkpoint[:12]
    assert f"tiny (desk): not measured: give --bundle of victim {name}" in output
    assert f"Report: {page}" in output
    assert "earshot-attacker report" in page.read_text()
    assert "Table 0: A tiny table" in markdown.read_text()


@pytest.mark.parametrize(
    "hint", [comparing(Path("runs/paper")), comparing(Path("my {odd} folder"))]
)
def test_a_run_ends_with_the_command_that_compares(hint: str) -> None:
    words = shlex.split(hint.partition(": ")[2])
    assert words[:3] == ["earshot-attacker", "report", "paper"]
    assert words[-2:] == ["--bundle", "VICTIM/bundle"]
    assert words[3:-2] in ([], ["my {odd} folder"])


def test_the_word_paper_may_be_followed_by_a_folder(
    world: World, call: Call, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    code, output = call("report", "paper", world.out, "--out", page)
    assert code == 0
    assert f"Report: {page}" in output
    assert not (tmp_path / "results.json").exists()
    code, output = call("report", "paper", tmp_path / "nothing")
    assert code == 2
    assert "holds no table" in output
    code, output = call("report", world.out, world.out)
    assert code == 2
    assert "Only `study` and `paper` are followed by one" in output


def test_the_wrong_bundle_is_one_line_and_a_failure(
    world: World, call: Call, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world.victim / "bundle", bundle)
    facts = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**facts, "checkpoint": "ab" * 32}))
    code, output = call("report", "paper", world.out, "--bundle", bundle, "--out", tmp_path / "p")
    assert code == 1
    assert output.count("error:") == 1
    assert len(output.splitlines()) == 1
    assert not (tmp_path / "p").exists()


def test_the_first_report_asks_for_an_audit_key(world: World, call: Call) -> None:
    code, output = call("report", world.out, "--bundle", world.victim / "bundle")
    assert code == 1
    assert "EARSHOT_AUDIT_KEY" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("option", ["--out", "--markdown"])
def test_a_single_run_has_no_page_of_tables(call: Call, tmp_path: Path, option: str) -> None:
    code, output = call("report", tmp_path, "--bundle", tmp_path, option, tmp_path / "x")
    assert code == 2
    assert f"{option}: not for a single run" in output


@pytest.mark.parametrize("bundles", [0, 2])
def test_a_single_run_needs_one_bundle(call: Call, tmp_path: Path, bundles: int) -> None:
    words = [word for _ in range(bundles) for word in ("--bundle", tmp_path)]
    code, output = call("report", tmp_path, *words)
    assert code == 2
    assert f"{bundles} bundles are given" in output
