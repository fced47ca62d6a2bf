"""Whole runs of the attacker against the real service: plan, run, resume, exhaustion, Ctrl-C."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from attacker.http_oracle import HttpOracle
from attacker.journal import Journal
from attacker.lab.reading import read_run
from attacker.surrogate import load_surrogate
from shared.audio import to_wav
from shared.contract import AccountStatus
from tests.support.command_line import Call, caller
from tests.support.forked import start_attacker
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_clips, make_victim, running_victim

EXPERIMENT = """
name: small
knowledge: {{class_counts: null}}
proxy: {{kind: speaker_tree, root: {root}}}
query: {{batch_clips: 16, in_flight: 3}}
budget: 90
marks: [40, 90]
campaigns:
  - {{name: proxy, source: {{kind: proxy}}, sampler: {{kind: keep_all}}}}
  - name: mixed
    source: {{kind: interpolate}}
    sampler: {sampler}
    iterations: 3
surrogate:
  network: {{kind: knagg_cnn, filters: 4, embedding: 8}}
  recipe: {{epochs: 2, batch_size: 16}}
"""
STATIC = "{kind: static_threshold, tau: 15}"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    folder = tmp_path_factory.mktemp("victim")
    checkpoint = make_victim(folder / "checkpoint")
    with running_victim(checkpoint, folder, new_keys=False) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("proxy")
    for number, wave in enumerate(make_clips(9, 3000, seed=7)):
        path = root / f"s{number % 3}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(to_wav(wave, 4000))
    (root / "s0" / "broken.wav").write_bytes(b"RIFFnothing")
    (root / "s1" / "empty.flac").write_bytes(b"")
    return root


@pytest.fixture
def experiment(proxy: Path, tmp_path: Path) -> Callable[..., Path]:
    def write(sampler: str = STATIC, **changes: str) -> Path:
        text = EXPERIMENT.format(root=proxy, sampler=sampler)
        for old, new in changes.items():
            assert f"{old}:" in text
            text = "\n".join(
                f"{old}: {new}" if line.startswith(f"{old}:") else line
                for line in text.splitlines()
            )
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def call(
    victim: RunningVictim,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    return caller(monkeypatch, capsys, victim.url, str(tmp_path / "cache"))


def account(victim: RunningVictim, key: str) -> AccountStatus:
    async def ask() -> AccountStatus:
        async with HttpOracle(victim.url, key) as oracle:
            return await oracle.account()

    return asyncio.run(ask())


def test_plan_spends_nothing_and_run_spends_what_it_said(
    victim: RunningVictim, call: Call, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    key, out = add_key(victim.ledger_path, "planner"), tmp_path / "run"
    code, output = call("plan", str(experiment()), "--out", str(out), key=key)
    assert code == 0, output
    assert "In all 180 queries" in output
    assert "Nothing was spent" in output
    assert "broken.wav" in output
    assert "2 files of the proxy corpus were not usable" in output
    assert account(victim, key).spent == 0
    assert not out.exists()

    code, output = call("run", str(experiment()), "--out", str(out), key=key)
    assert code == 0, output
    assert account(victim, key).spent == 180
    record = json.loads((out / "run.json").read_text())
    assert record["seeds"] == {"root": 0}
    assert len(record["lock_sha256"]) == 64
    assert record["model_card"]["clip_samples"] == 1024
    for name in ("proxy", "mixed"):
        for mark in (40, 90):
            _, card = load_surrogate(out / name / "surrogates" / str(mark))
            assert card["queries"] == mark

    assert not list((tmp_path / "cache").rglob("*labelled*"))  # they served their time
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("card.json")}
    for again in (("run", str(experiment()), "--out", str(out)), ("resume", str(out))):
        code, output = call(*again, key=key)
        assert code == 0, output
    assert account(victim, key).spent == 180
    assert {path: path.stat().st_mtime_ns for path in out.rglob("card.json")} == trained
    assert "In all 0 queries" in call("plan", str(experiment()), "--out", str(out), key=key)[1]


def test_an_exhausted_account_keeps_trains_and_reports_what_it_bought(
    victim: RunningVictim, call: Call, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    key, out = add_key(victim.ledger_path, "poor", budget=130), tmp_path / "run"
    code, output = call("plan", str(experiment()), "--out", str(out), key=key)
    assert "50 clips short" in output
    code, output = call("run", str(experiment()), "--out", str(out), key=key)
    assert code == 0, output
    assert "account exhausted" in output
    assert account(victim, key).remaining == 0
    marks = {
        name: sorted(int(path.name) for path in (out / name / "surrogates").iterdir())
        for name in ("proxy", "mixed")
    }
    assert marks == {"proxy": [40, 90], "mixed": [40]}
    _, card = load_surrogate(out / "mixed" / "surrogates" / "40")
    assert card["queries"] == 40


@pytest.mark.parametrize(("budget", "bought"), [(0, [0, 0]), (7, [7, 0]), (90, [90, 0])])
def test_a_campaign_for_which_nothing_was_left_ends_all_the_same(
    victim: RunningVictim,
    call: Call,
    experiment: Callable[..., Path],
    tmp_path: Path,
    budget: int,
    bought: list[int],
) -> None:
    key, out = add_key(victim.ledger_path, f"broke-{budget}", budget=budget), tmp_path / "run"
    code, output = call("run", str(experiment()), "--out", str(out), key=key)
    assert code == 0, output
    found = []
    for name in ("proxy", "mixed"):
        journal = Journal.read(out / name)
        found.append(len(journal.rows().labels))
        journal.close()
    assert found == bought
    assert account(victim, key).spent == budget
    run = read_run(out, cache=tmp_path / "cache")
    assert [campaign.queries for campaign in run.campaigns] == bought


@pytest.mark.parametrize("place", ["file", "/proc/nothing/run"])
def test_an_unusable_run_folder_is_one_line(
    victim: RunningVictim,
    call: Call,
    experiment: Callable[..., Path],
    tmp_path: Path,
    place: str,
) -> None:
    (tmp_path / "file").touch()
    key = add_key(victim.ledger_path, f"place-{len(place)}")
    code, output = call("run", str(experiment()), "--out", str(tmp_path / place), key=key)
    assert code == 1
    assert "Name a place" in output
    assert account(victim, key).spent == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "{kind: dynamic_threshold, alpha: 1}"}, "knowledge.class_counts"),
        ({"profile": "desk", "sampler": STATIC}, "profile desk"),
        ({"proxy": "{kind: speaker_tree, root: /no/such/folder}"}, "/no/such/folder"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_spent(
    victim: RunningVictim,
    call: Call,
    experiment: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, str],
    words: str,
) -> None:
    key = add_key(victim.ledger_path, f"early-{len(words)}")
    path = experiment(**{k: v for k, v in changes.items() if k != "profile"})
    if "profile" in changes:
        path.write_text(path.read_text() + "\nprofile: desk\n")
    code, output = call("run", str(path), "--out", str(tmp_path / "run"), key=key)
    assert code in (1, 2)
    assert words in output
    assert "Traceback" not in output
    assert account(victim, key).spent == 0


def test_class_counts_can_be_granted_on_the_command_line(
    victim: RunningVictim, call: Call, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    key, out = add_key(victim.ledger_path, "granted"), tmp_path / "run"
    counts = victim.checkpoint / "class_counts.json"
    path = experiment(sampler="{kind: dynamic_threshold, alpha: 0.5}")
    code, output = call("run", str(path), "--out", str(out), "--class-counts", str(counts), key=key)
    assert code == 0, output
    journal = Journal.read(out / "mixed")
    wanted = [-(-count // 2) for count in json.loads(counts.read_text())["counts"]]
    rows = journal.rows()
    assert journal.identity["caps"] == wanted
    assert (np.bincount(rows.labels[rows.kept], minlength=5) <= wanted).all()
    journal.close()


def test_a_folder_of_another_experiment_is_refused(
    victim: RunningVictim, call: Call, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    key, out = add_key(victim.ledger_path, "mismatch"), tmp_path / "run"
    assert call("run", str(experiment()), "--out", str(out), key=key)[0] == 0
    spent = account(victim, key).spent
    record = [(out / name).read_bytes() for name in ("experiment.yaml", "run.json")]
    other = experiment(sampler="{kind: static_threshold, tau: 16}")
    code, output = call("run", str(other), "--out", str(out), key=key)
    assert code == 1
    assert "belongs to another campaign" in output
    assert "--out" in output
    assert account(victim, key).spent == spent
    assert record == [(out / name).read_bytes() for name in ("experiment.yaml", "run.json")]
    assert call("resume", str(out), key=key)[0] == 0


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(
    victim: RunningVictim, call: Call, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    key, out, log = add_key(victim.ledger_path, "interrupted"), tmp_path / "run", tmp_path / "log"
    path = experiment(budget="4000", marks="[40]")
    options = ["--out", str(out), "--url", victim.url, "--cache", str(tmp_path / "c")]
    process = start_attacker(["run", str(path), *options, "--key", key], log)
    deadline = time.monotonic() + 60
    while not (out / "proxy" / "journal.sqlite").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130, log.read_text()
    assert f"earshot-attacker resume {out}" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert key not in log.read_text()
    code, output = call("resume", str(out), key=key)
    assert code == 0, output
    assert account(victim, key).spent == 8000
