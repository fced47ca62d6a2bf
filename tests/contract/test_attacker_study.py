"""Whole studies against the real service: run, killed, run again, refused, and what is written."""

import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attacker.cells.cell import DONE_NAME, is_done, read_done
from attacker.lab.study.keys import KEY_NAME
from attacker.lab.study.rows import CELLS
from tests.support.command_line import Call, caller
from tests.support.forked import start_attacker
from tests.support.laboratory import Laboratory
from tests.support.studies import CELLS as ROWS
from tests.support.studies import DISTINCT, write_study
from tests.support.tables import write_proxy
from tests.support.victims import RunningVictim, make_victim, running_victim


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[RunningVictim]:
    checkpoint = make_victim(tmp_path / "checkpoint")
    with running_victim(checkpoint, tmp_path / "victim", new_keys=False) as running:
        yield running


@pytest.fixture
def lab(victim: RunningVictim, tmp_path: Path) -> Laboratory:
    return Laboratory(victim, tmp_path)


@pytest.fixture
def call(
    victim: RunningVictim,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    monkeypatch.setenv("TINY_PROXY", str(write_proxy(tmp_path / "proxy")))
    return caller(monkeypatch, capsys, victim.url, str(tmp_path / "cache"))


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.timeout(600)
def test_a_killed_study_goes_on_and_nothing_is_paid_twice(
    lab: Laboratory, call: Call, tmp_path: Path
) -> None:
    root = {"corpora__proxy__root": str(tmp_path / "proxy")}
    path = write_study(tmp_path / "tiny.yaml", **root)
    words = ["study", str(path), "--jobs", "2", *lab.options]

    code, output = call(*words, "--list", key="")
    assert code == 0, output
    assert f"{ROWS} cells: 0 done, {ROWS - DISTINCT} equal one above" in output
    assert "240 queries at 60.00" in output
    assert not lab.out.exists()
    assert lab.spent() == {}

    process = start_attacker(words, tmp_path / "log")
    deadline = time.monotonic() + 200
    while not any(is_done(cell) for cell in lab.cells()) and time.monotonic() < deadline:
        assert process.is_alive(), (tmp_path / "log").read_text()
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    finished = [cell for cell in lab.cells() if is_done(cell)]
    assert 1 <= len(finished) < DISTINCT, (tmp_path / "log").read_text()
    before = {cell: (cell / KEY_NAME).read_bytes() for cell in lab.cells()}
    untouched = {file: data for cell in finished for file, data in contents(cell)}

    code, output = call(*words, key="")
    assert code == 0, output
    assert f"{DISTINCT} of {DISTINCT} cells are done" in output
    assert {cell: (cell / KEY_NAME).read_bytes() for cell in lab.cells()} == before
    assert {file: file.read_bytes() for file in untouched} == untouched
    assert sorted(lab.spent().values()) == [20] * 4 + [40] * 4
    assert list(lab.plans().values()) == [1, 1, 1]

    rows = lab.rows()
    check_rows(rows)
    for cell in lab.cells():
        assert stat.S_IMODE((cell / KEY_NAME).stat().st_mode) == 0o600
    secrets = [*lab.keys.values(), *(key.decode().strip() for key in before.values())]
    for file, data in contents(lab.out):
        if file.name != KEY_NAME:
            assert not [one for one in secrets if one.encode() in data], file

    call(*words, key="")
    assert lab.rows() == rows
    assert sum(lab.spent().values()) == 240

    code, output = with_damaged_notes(lab, lambda: call(*words, key=""))
    assert code == 1, output
    assert f"{DISTINCT - 1} of {DISTINCT} cells are done" in output
    assert "damaged (KeyError). Remove it and run the same command again" in output
    assert [name for name in rows if name not in lab.rows()] == ["noise-hard-b40-adaptive-s0"]
    assert sum(lab.spent().values()) == 240


def with_damaged_notes(lab: Laboratory, run: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """Run a study of which one note was cut short, which is mended, and one lacks what was paid."""
    (cut,) = (cell for cell in lab.cells() if cell.name.startswith("none-soft-b20-naive-s0"))
    (bare,) = (cell for cell in lab.cells() if cell.name.startswith("noise-hard-b40-adaptive-s0"))
    (cut / DONE_NAME).write_bytes((cut / DONE_NAME).read_bytes()[:40])
    (bare / DONE_NAME).write_text("{}")
    found = run()
    assert read_done(cut)["charged"] == 20
    return found


def check_rows(rows: dict[str, dict[str, Any]]) -> None:
    """Check what every row says of its cell."""
    assert len(rows) == ROWS
    for row in rows.values():
        assert row.keys() == CELLS.keys()
        assert (row["study"], row["seed"], row["chance"]) == ("tiny", 0, 0.2)
        assert row["accounts"] == 1
        assert row["bought"] == row["charged"] == row["kept"] == row["budget"]
        assert row["spent_money"] == pytest.approx(row["budget"] * row["price_per_clip"])
        assert 0 <= row["accuracy"] <= 1
        assert 0 <= row["fidelity"] <= 1
        assert row["seconds"] == pytest.approx(row["budget"] * 1024 / 4000)
        for name in ("queries_to_50", "queries_to_80", "queries_to_95"):
            assert row[name] in (None, row["budget"] // 2, row["budget"])
        assert row["took_s"] > 0
    naive, adaptive = (rows[f"noise-hard-b40-{name}-s0"] for name in ("naive", "adaptive"))
    assert (naive["adaptive"], adaptive["adaptive"]) == (False, True)
    assert json.loads(naive["chain"]) == [{"kind": "noise", "added_to": "logits", "scale": 1.0}]
    assert json.loads(adaptive["knowledge"])["defence"] is True
    assert naive["folder"] != adaptive["folder"]
    shared = [rows[f"none-soft-b20-{name}-s0"] for name in ("naive", "adaptive")]
    assert shared[0]["folder"] == shared[1]["folder"]
    assert shared[0]["accuracy"] == shared[1]["accuracy"]


@pytest.mark.timeout(300)
def test_a_cell_that_fails_is_named_and_one_that_runs_dry_is_a_result(
    lab: Laboratory, call: Call, tmp_path: Path
) -> None:
    unknown = {"knowledge": {"class_counts": str(tmp_path / "nowhere.json")}, "iterations": 2}
    path = write_study(
        tmp_path / "tiny.yaml", budgets=[20], by_budget={}, plans__1__plan={"account_budget": 10},
        attackers__0__by_plan={"noise": unknown},
    )  # fmt: skip
    words = ["study", str(path), *lab.options, "--only", "*-hard-*"]
    code, output = call(*words, key="")
    assert code == 1, output
    assert "2 of 3 cells are done" in output
    assert "noise-hard-b20-naive-s0: " in output
    assert "nowhere.json" in output
    assert "Mend what is said above" in output
    rows = lab.rows()
    assert {name: row["bought"] for name, row in rows.items()} == {
        "none-hard-b20-naive-s0": 20,
        "none-hard-b20-adaptive-s0": 20,
        "noise-hard-b20-adaptive-s0": 10,
    }
    assert rows["noise-hard-b20-adaptive-s0"]["charged"] == 10


@pytest.mark.timeout(300)
def test_what_the_victim_does_not_sell_is_refused_before_anything_is_bought(
    lab: Laboratory, call: Call, tmp_path: Path
) -> None:
    labels = {"kind": "label_only"}
    noise = {"kind": "noise", "scale": 0.1}
    cases = [
        ({"plans__1__defences": [labels, noise]}, "Put noise before label_only"),
        ({"plans__1__defences": [{"kind": "magic"}]}, "magic"),
        ({"plans__1__defences": [{"kind": "mad", "epsilon": 7.0}]}, "epsilon"),
        (
            {"plans__1__defences": [labels], "plans__1__label_modes": ["top2"]},
            "plan noise in label mode top2",
        ),
        ({"plans__1__plan": {"detectors": [{"kind": "oracle"}]}}, "detectors"),
    ]
    for number, (changes, reason) in enumerate(cases):
        path = write_study(tmp_path / f"{number}.yaml", **changes)
        code, output = call("study", str(path), *lab.options, key="")
        assert code == 2, output
        assert reason in output
        assert "plan noise in label mode" in output
        assert "Traceback" not in output
    assert lab.spent() == {}
    assert lab.cells() == []


@pytest.mark.timeout(300)
def test_a_second_folder_on_one_ledger_needs_a_tag(
    lab: Laboratory, call: Call, tmp_path: Path
) -> None:
    path = write_study(tmp_path / "tiny.yaml")
    words = ["study", str(path), *lab.options, "--only", "noise-hard-b20-naive-s0"]
    assert call(*words, key="")[0] == 0
    elsewhere = [*words, "--out", str(tmp_path / "other")]
    code, output = call(*elsewhere, key="")
    assert code == 2
    assert "--tag" in output
    code, output = call(*elsewhere, "--tag", "two", key="")
    assert code == 0, output
    assert sorted(lab.spent().values()) == [20, 20]
    code, output = call(*words, "--tag", "two words", key="")
    assert code == 2
    assert "account's name" in output


def test_wrong_keys_and_patterns_are_refused_in_words(
    lab: Laboratory, call: Call, tmp_path: Path
) -> None:
    path = str(write_study(tmp_path / "tiny.yaml"))
    swapped = [*lab.options]
    place = swapped.index("--admin-key-file") + 1
    swapped[place] = str(tmp_path / "audit.key")
    missing = [*lab.options]
    missing[place] = str(tmp_path / "nowhere.key")
    for options, reason in (
        (swapped, "admin"),
        (missing, "nowhere.key"),
        ([*lab.options, "--only", "nothing-*"], "names no cell"),
        ([*lab.options, "--profile", "paper"], "no profile 'paper'"),
    ):
        code, output = call("study", path, *options, key="")
        assert code in (1, 2)
        assert reason in output
        assert "Traceback" not in output
    assert lab.spent() == {}
