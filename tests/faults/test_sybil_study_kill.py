"""A study whose cells are Sybils: cells and study are killed in the middle, and it goes on."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from attacker.cells.cell import bought, is_done, read_done
from attacker.lab.study.keys import KEY_NAME
from tests.support.forked import start_attacker
from tests.support.laboratory import Laboratory, laboratory
from tests.support.process_tree import descendants
from tests.support.studies import write_study
from tests.support.tables import write_proxy

BUDGET = 60
SHARES = {"in_turn": [20, 20, 20], "contiguous": [15, 15, 15, 15]}
SLOW = {
    "id": "slow", "label": "Time to be killed in", "label_modes": ["soft"],
    "price_per_clip": 0.5, "plan": {"rate_per_s": 5.0, "burst": 5},
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Laboratory]:
    with laboratory(tmp_path, lease_s=2) as lab:
        yield lab


def words_of(lab: Laboratory, folder: Path) -> list[str]:
    path = write_study(
        folder / "tiny.yaml", budgets=[BUDGET], by_budget={}, marks=[1], plans=[SLOW],
        query={"batch_clips": 5, "in_flight": 3},
        attackers__0__query={"accounts": 3},
        attackers__1__query={"accounts": 4, "spread": "contiguous"}, attackers__1__by_plan={},
        corpora__proxy__root=str(write_proxy(folder / "proxy")),
    )  # fmt: skip
    return ["study", str(path), "--jobs", "2", *lab.options]


def live_until_something_is_bought(
    lab: Laboratory, words: list[str], log: Path
) -> tuple[BaseProcess, dict[int, str]]:
    """Start the study; return it and its children when a cell that is not done has bought more."""
    before = {cell: bought(cell) for cell in lab.cells()}
    process = start_attacker(words, log)
    assert process.pid is not None
    deadline = time.monotonic() + 200
    while not any(
        before.get(cell, 0) < bought(cell) < BUDGET and not is_done(cell) for cell in lab.cells()
    ):
        assert process.is_alive(), log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    return process, descendants(process.pid)


@pytest.mark.timeout(600)
def test_a_killed_study_of_sybils_pays_each_share_once(lab: Laboratory, tmp_path: Path) -> None:
    words, log = words_of(lab, tmp_path), tmp_path / "log"

    process, children = live_until_something_is_bought(lab, words, log)
    keys = {cell: (cell / KEY_NAME).read_text().split() for cell in lab.cells()}
    assert sorted(map(len, keys.values())) == [3, 4]
    for line in children.values():
        assert not [key for own in keys.values() for key in own if key in line]
    for child, line in children.items():
        if " run " in line:
            os.kill(child, signal.SIGKILL)
    process.join(200)
    assert process.exitcode == 1, "no cell was killed: nothing was tested"
    assert sum(lab.spent().values()) < 2 * BUDGET

    process, _ = live_until_something_is_bought(lab, words, log)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert sum(map(is_done, lab.cells())) < 2

    process = start_attacker(words, log)
    process.join(300)
    assert process.exitcode == 0, log.read_text()
    assert {cell: (cell / KEY_NAME).read_text().split() for cell in lab.cells()} == keys
    check(lab)
    for file in lab.out.rglob("*"):
        if file.is_file() and file.name != KEY_NAME:
            data = file.read_bytes()
            assert not [key for own in keys.values() for key in own if key.encode() in data], file


def check(lab: Laboratory) -> None:
    """Check the rows, the notes and the ledger against one another, to the clip."""
    spent, rows = lab.spent(), lab.rows()
    told = {}
    for row in rows.values():
        (cell,) = lab.out.glob(f"*/{row['folder']}")
        done = read_done(cell)
        assert row["accounts"] == len(done["charged_to"])
        assert row["bought"] == row["charged"] == sum(done["charged_to"].values()) == BUDGET
        assert row["spent_money"] == done["spent_money"] == BUDGET * 0.5
        told |= done["charged_to"]
    assert told == spent
    assert sorted(spent.values()) == sorted([*SHARES["in_turn"], *SHARES["contiguous"]])
    assert sorted(row["accounts"] for row in rows.values()) == [3, 4]
