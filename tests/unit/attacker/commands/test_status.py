"""`status` on a narrow terminal: what a campaign is called and how it stands is never cut."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from attacker.commands.status import show
from attacker.journal import Journal
from attacker.run_folder import SURROGATES_NAME, RunFolder
from tests.support.paper_cells import tiny_world

Call = Callable[..., tuple[int, str]]
MARKS = (1000, 2000, 5000, 10000, 20000, 50000, 100000)


def shown(folder: Path, name: str) -> list[str]:
    """Return the lines that 80 columns show of a campaign whose all cells are long."""
    (folder / "experiment.yaml").write_text(f"campaigns: [{{name: {name}}}, {{name: b}}]")
    identity = {"n_classes": 251, "label_mode": "hard", "budget": 100_000}
    journal = Journal.open(folder / name, identity)
    batch = journal.plan(iteration=1, first_index=0, clips=50_000, payload_sha256="x")
    journal.answer(batch, np.zeros(50_000))
    journal.observe(batch, np.arange(50_000) % 251, np.ones(50_000, bool))
    journal.plan(iteration=1, first_index=50_000, clips=1600, payload_sha256="x")
    journal.end("account-exhausted")
    journal.close()
    for mark in MARKS:
        card = folder / name / SURROGATES_NAME / str(mark) / "card.json"
        card.parent.mkdir(parents=True)
        card.write_text("{}")
    text = io.StringIO()
    show(Console(file=text, width=80), RunFolder(folder))
    return text.getvalue().splitlines()


def test_everything_fits_eighty_columns(tmp_path: Path) -> None:
    lines = shown(tmp_path, "proxy-only-pitch")
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if line.strip().startswith("proxy-only-pitch ")]
    cells = ["proxy-only-pitch", "account", "exhausted", "50,000/100,000", "1,600", "50,000"]
    assert row.split() == [*cells, "251/251"]
    whole = " ".join(" ".join(lines).split())
    for heading in ("campaign", "state", "bought", "in doubt", "volume", "coverage", "not begun"):
        assert heading in whole
    assert ", ".join(f"{mark:,}" for mark in MARKS) in whole
    assert "…" not in whole


def test_a_folder_of_tables_shows_how_far_each_is(call: Call, tmp_path: Path) -> None:
    world = tiny_world(tmp_path)
    world.make("noise", 0)
    code, output = call("status", world.out)
    assert code == 0
    lines = [line.split() for line in output.splitlines()]
    assert ["tiny", "(desk)", world.card.checkpoint[:12], "1/8", "40/400"] in lines
    assert ["noise", "1/2", "40/80"] in lines
    assert ["own", "0/2", "0/160"] in lines
    assert "goes on by the command that began it" in output
    for row in ("own", "proxy", "noise", "static"):
        for number in (0, 1):
            world.place(row, number).mkdir(parents=True, exist_ok=True)
            (world.place(row, number) / "done.json").write_text("{}")
    (single,) = world.out.glob("*/tiny-desk")
    code, output = call("status", single)
    assert code == 0
    assert "8/8" in output
    assert "goes on" not in output
    (single / "table.json").write_text("{}")
    code, output = call("status", world.out)
    assert code == 2
    assert "not the manifest of a table" in output


def test_a_folder_of_nothing_is_no_run(call: Call, tmp_path: Path) -> None:
    code, output = call("status", tmp_path)
    assert code == 2
    assert "holds no run" in output


@pytest.mark.parametrize("length", [40, 90])
def test_a_long_name_is_whole_too(tmp_path: Path, length: int) -> None:
    lines = shown(tmp_path, "n" * length)
    (row,) = [line for line in lines if line.strip().startswith("n" * length + " ")]
    assert row.split()[1:3] == ["account", "exhausted"]
    assert row.split()[-1] == "251/251"
