"""Whole tables against the real service: run, killed, run again, refused, short of money."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from attacker.cells.cell import read_done
from attacker.http_oracle import HttpOracle
from attacker.lab.reading import read_run
from attacker.tables.curve import curve_points
from attacker.tables.manifest import read_manifest
from attacker.tables.progress import find_manifests
from shared import checkpoint
from tests.support.command_line import Call, caller
from tests.support.forked import start_attacker
from tests.support.keys import add_key
from tests.support.tables import TINY, UNSURE, write_proxy, write_table
from tests.support.victims import RunningVictim, make_victim, running_victim


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    folder = tmp_path_factory.mktemp("victim")
    with running_victim(make_victim(folder / "checkpoint"), folder, new_keys=False) as running:
        yield running


@pytest.fixture
def call(
    victim: RunningVictim,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    monkeypatch.setenv("EARSHOT_VICTIM", str(victim.checkpoint))
    monkeypatch.setenv("TINY_PROXY", str(write_proxy(tmp_path / "proxy")))
    return caller(monkeypatch, capsys, victim.url, str(tmp_path / "cache"))


def spent(victim: RunningVictim, key: str) -> int:
    async def ask() -> int:
        async with HttpOracle(victim.url, key) as oracle:
            return (await oracle.account()).spent

    return asyncio.run(ask())


def written(out: Path) -> dict[Path, int]:
    files = [path for path in out.glob("*/cells/**/*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}


def kill_once(process: BaseProcess, out: Path, pattern: str) -> None:
    """Kill ``process`` as soon as ``out`` holds what ``pattern`` names."""
    deadline = time.monotonic() + 200
    while not list(out.glob(pattern)) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)


@pytest.mark.timeout(600)
def test_a_killed_table_goes_on_and_nothing_is_paid_twice(
    victim: RunningVictim, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, out = add_key(victim.ledger_path, "table"), tmp_path / "out"
    rows = [row for row in TINY["rows"] if row["id"] in ("proxy-full", "gan", "other-2")]
    path = write_table(
        tmp_path / "tiny.yaml", rows=rows, seeds=[0], profiles__desk__rows={},
        corpora__proxy__root=str(tmp_path / "proxy"),
    )  # fmt: skip
    options = [str(path), "--out", str(out), "--jobs", "2", "--cache", str(tmp_path / "cache")]
    options += ["--url", victim.url, "--victim-folder", str(victim.checkpoint)]

    code, output = call("plan", str(path), "--out", str(out), key=key)
    assert code == 0, output
    assert "In all 3 cells and 120 queries" in output
    assert "generator gan" in output
    assert not out.exists()

    process = start_attacker(["run", *options, "--key", key], tmp_path / "log")
    kill_once(process, out, "*/cells/*/attack/journal.sqlite")
    paid = spent(victim, key)
    assert paid <= 120

    code, output = call("run", *options, key=key)
    assert code == 0, output
    assert "5 of 5 jobs are done" in output
    assert spent(victim, key) == 120

    (folder,) = find_manifests(out)
    run = read_manifest(folder)
    assert run.victim.checkpoint == checkpoint.load_card(victim.checkpoint)["tensors_sha256"]
    for cells in run.cells.values():
        (cell,) = cells
        assert cell.done
        assert read_done(cell.folder)["attack"]["bought"] == 40
        (campaign,) = read_run(cell.folder, cache=tmp_path / "cache").campaigns
        assert [surrogate.queries for surrogate in campaign.surrogates] == [40]
        assert key not in (cell.folder / "job.log").read_text()
    points = curve_points(run)
    assert [(point.parameter, point.iterations) for point in points] == [("tau", 1), ("tau", 2)]
    assert points[0].volume <= points[1].volume <= 2 * 5

    before = written(out)
    code, output = call("run", *options, key=key)
    assert code == 0, output
    assert spent(victim, key) == 120
    assert written(out) == before

    for note in out.glob("**/done.json"):
        note.write_bytes(note.read_bytes()[:40])
    code, output = call("run", *options, key=key)
    assert code == 0, output
    assert "5 of 5 jobs are done" in output
    assert spent(victim, key) == 120
    for (cell,) in run.cells.values():
        assert read_done(cell.folder)["attack"]["bought"] == 40


@pytest.mark.timeout(600)
def test_a_generator_learns_from_the_answers_of_a_row_and_survives_kills(
    victim: RunningVictim, call: Call, tmp_path: Path
) -> None:
    key, out = add_key(victim.ledger_path, "unsure"), tmp_path / "out"
    rows = [row for row in UNSURE["rows"] if row["id"] in ("proxy-full", "unsure")]
    changes = {
        **UNSURE, "rows": [rows[1], rows[0]], "seeds": [1], "claims": [], "curve": None,
        "profiles__desk__rows": {}, "generators__unsure__gan__steps": 40,
        "generators__unsure__gan__checkpoint_every": 1,
        "corpora__proxy__root": str(tmp_path / "proxy"),
    }  # fmt: skip
    path = write_table(tmp_path / "unsure.yaml", **changes)
    options = [str(path), "--out", str(out), "--jobs", "2", "--cache", str(tmp_path / "cache")]
    options += ["--url", victim.url]

    code, output = call("plan", *options[:3], key=key)
    assert code == 0, output
    assert "In all 2 cells and 80 queries" in output
    assert "unsure also rests on answers that proxy-full buys, 30 a seed: its bill is 70" in output

    for moment in ("*/cells/proxy-full-*/attack/journal.sqlite", "*/generators/unsure-*/state/*"):
        process = start_attacker(["run", *options, "--key", key], tmp_path / "log")
        kill_once(process, out, moment)
        assert not list(out.glob("*/cells/unsure-*/attack"))
        assert spent(victim, key) <= 40
    (asked,) = out.glob("*/cells/proxy-full-*")
    assert read_done(asked)["attack"]["bought"] == 40  # it had to be whole before
    (generator,) = out.glob("*/generators/unsure-*")

    code, output = call("run", *options, key=key)
    assert code == 0, output
    assert "3 of 3 jobs are done" in output
    assert spent(victim, key) == 80
    card = checkpoint.load_card(generator)
    assert (card["steps"], card["answers"]["queries"]) == (40, 30)
    assert card["answers"]["victim"] == checkpoint.load_card(victim.checkpoint)["tensors_sha256"]
    (folder,) = find_manifests(out)
    (cell,) = read_manifest(folder).cells["unsure"]
    assert read_done(cell.folder)["attack"]["bought"] == 40

    before = written(out)
    code, output = call("run", *options, key=key)
    assert code == 0, output
    assert (spent(victim, key), written(out)) == (80, before)
    # Another exponent is another generator, and with it other cells; the answers are there.
    write_table(path, **changes, generators__unsure__answers__power=2.0)
    code, output = call("plan", *options[:3], key=key)
    assert "In all 1 cells and 40 queries" in output


@pytest.mark.timeout(300)
def test_a_cell_that_the_account_cannot_pay_fails_and_goes_on_under_another_key(
    victim: RunningVictim, call: Call, tmp_path: Path
) -> None:
    poor, rich = (add_key(victim.ledger_path, name, budget=n) for name, n in (("p", 25), ("r", 99)))
    path = write_table(
        tmp_path / "tiny.yaml", rows=TINY["rows"][:1], seeds=[0], claims=[], curve=None,
        profiles__desk__rows={},
    )  # fmt: skip
    options = [str(path), "--out", str(tmp_path / "out")]
    code, output = call("run", *options, key=poor)
    assert code == 1
    assert "may stop short" in output
    assert "account exhausted after 25 of 40" in output
    assert "0 of 1 jobs are done" in output
    code, output = call("run", *options, key=rich)
    assert code == 0, output
    assert (spent(victim, poor), spent(victim, rich)) == (25, 15)


@pytest.mark.timeout(300)
def test_a_row_may_be_a_sybils_and_needs_its_keys(
    victim: RunningVictim, call: Call, tmp_path: Path
) -> None:
    keys = [add_key(victim.ledger_path, f"sybil-{n}", budget=n) for n in (14, 13, 12)]
    path = write_table(
        tmp_path / "tiny.yaml", rows=[{**TINY["rows"][0], "query": {"accounts": 3}}], seeds=[0],
        claims=[], curve=None, profiles__desk__rows={},
    )  # fmt: skip
    options = [str(path), "--out", str(tmp_path / "out"), "--key-file", str(tmp_path / "keys")]
    (tmp_path / "keys").write_text("\n".join(keys[:2]))
    for command in ("plan", "run"):
        code, output = call(command, *options, key="")
        assert code == 2, output
        assert "query.accounts is 3, but 2 keys are given" in output
    (tmp_path / "keys").write_text("\n".join([*keys[:2], keys[1]]))
    code, output = call("plan", *options, key="")
    assert code == 2
    assert "which is no Sybil" in output
    (tmp_path / "keys").write_text("\n".join(keys))
    code, output = call("plan", *options, key="")
    assert code == 0, output
    assert "Account sybil-14 and 2 more" in output
    assert "The account is 1 clips short" in output

    code, output = call("run", *options, key="")
    assert code == 1
    assert "account exhausted after 39 of 40" in output
    assert [spent(victim, key) for key in keys] == [14, 13, 12]
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or not [k for k in keys if k.encode() in file.read_bytes()], file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"corpora__proxy__root": "/no/such/folder"}, "/no/such/folder"),
        ({"rows__2__sampler__alpha": 0}, "greater than 0"),
        ({"rows__2__knowledge": {}}, "assumption A3"),
        ({"profiles__desk__budget": 9}, "one batch of 10"),
        ({"generators__gan__sample_rate_hz": 16000}, "16,000 Hz"),
        ({"rows__3__initial_layers__count": 9, "rows__3__knowledge__first_layers": 9}, "6 layers"),
        ({"profiles__desk__audio__sample_rate_hz": 8000}, "8,000 Hz"),
        ({"models__victim__checkpoint": "/no/such/model"}, "/no/such/model"),
        ({**UNSURE, "generators__unsure__answers__row": "unsure"}, "cannot be made before"),
        ({"rows": [], "claims": [], "curve": None, "profiles__desk__rows": {}}, "rows"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_cannot_work_is_one_line_and_nothing_is_charged(
    victim: RunningVictim,
    call: Call,
    tmp_path: Path,
    command: str,
    change: dict[str, object],
    words: str,
) -> None:
    key = add_key(victim.ledger_path, f"early-{command}-{abs(hash(words))}")
    path = write_table(tmp_path / "tiny.yaml", **change)
    code, output = call(command, str(path), "--out", str(tmp_path / "out"), key=key)
    assert code in (1, 2)
    assert output.startswith("error:")
    assert words in output
    assert len(output.strip().splitlines()) == 1
    assert spent(victim, key) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("name: x", [], "neither an experiment"),
        (None, ["--profile", "huge"], "no profile 'huge'"),
        (None, ["--class-counts", "x.json"], "--class-counts: not for a table"),
        ("campaigns: []", ["--jobs", "2"], "--jobs: not for an experiment"),
        (None, ["--jobs", "0"], "greater than or equal to 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    victim: RunningVictim,
    call: Call,
    tmp_path: Path,
    text: str | None,
    options: list[str],
    words: str,
) -> None:
    path = write_table(tmp_path / "tiny.yaml")
    if text is not None:
        path.write_text(text)
    code, output = call("run", str(path), *options, key=add_key(victim.ledger_path, "o"))
    assert code == 2
    assert words in output
