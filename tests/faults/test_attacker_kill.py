"""SIGKILL of a real attacker, twenty times, in a campaign against a real service."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from attacker.errors import JournalError
from attacker.http_oracle import HttpOracle
from attacker.journal import Counts, Journal, Rows
from attacker.sybil import account_in
from shared.contract import AccountStatus
from tests.support.forked import start_attacker
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_victim, running_victim

KILLS = 20
ACCOUNTS = ("calm", "killed", "sybil-a", "sybil-b", "sybil-c")
BUDGET = 1000
EXPERIMENT = f"""
name: killed
proxy: {{kind: voices, cast: proxy}}
budget: {BUDGET}
query: {{batch_clips: 10, in_flight: 4}}
campaigns:
  - name: noise
    source: {{kind: gaussian_noise}}
    sampler: {{kind: static_threshold, tau: 60}}
    iterations: 4
surrogate:
  network: {{kind: knagg_cnn, filters: 4, embedding: 8}}
  recipe: {{epochs: 1, batch_size: 64}}
"""
PLAN = """
name: soft
label_mode: soft
budget: 100000
rate_per_s: 400
burst: 20
price_per_clip: 0.001
"""


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    """A service whose rate leaves time to kill somebody in mid-campaign."""
    folder = tmp_path_factory.mktemp("victim")
    plans = folder / "plans"
    plans.mkdir()
    (plans / "soft.yaml").write_text(PLAN)
    make_victim(folder / "checkpoint")
    options = ("--plans", str(plans))
    with running_victim(
        folder / "checkpoint", folder, new_keys=False, options=options, lease_s=2
    ) as running:
        running.keys = {name: add_key(running.ledger_path, name) for name in ACCOUNTS}
        yield running


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "killed.yaml"
    path.write_text(EXPERIMENT)
    return path


def counts(folder: Path) -> Counts | None:
    try:
        journal = Journal.read(folder / "noise")
    except JournalError:  # not begun, or at this moment being created
        return None
    try:
        return journal.counts()
    finally:
        journal.close()


def rows(folder: Path) -> Rows:
    journal = Journal.read(folder / "noise")
    try:
        return journal.rows()
    finally:
        journal.close()


def account(victim: RunningVictim, name: str) -> AccountStatus:
    async def ask() -> AccountStatus:
        async with HttpOracle(victim.url, victim.keys[name]) as oracle:
            return await oracle.account()

    return asyncio.run(ask())


def live_until(folder: Path, arguments: list[str], clips: int, delay_s: float) -> int:
    """Start an attacker, SIGKILL it once ``clips`` more are answered; return the clips it knew."""
    known = counts(folder)
    goal = clips + (0 if known is None else known.answered)
    process = start_attacker(arguments, folder.parent / "attacker.log")
    deadline = time.monotonic() + 60
    while (now := counts(folder)) is None or now.answered < goal:
        if not process.is_alive() or time.monotonic() > deadline:
            raise RuntimeError((folder.parent / "attacker.log").read_text()[-3000:])
        time.sleep(0.002)
    time.sleep(delay_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = counts(folder)
    assert left is not None
    return left.answered


def test_twenty_kills_cost_nothing_and_change_nothing(
    victim: RunningVictim, experiment: Path, tmp_path: Path
) -> None:
    options = ["--url", victim.url, "--cache", str(tmp_path / "cache"), "--key"]
    calm, killed = tmp_path / "calm" / "run", tmp_path / "killed" / "run"
    calm.parent.mkdir()
    killed.parent.mkdir()

    whole = ["run", str(experiment), "--out", str(calm), *options, victim.keys["calm"]]
    process = start_attacker(whole, calm.parent / "attacker.log")
    process.join()
    assert process.exitcode == 0, (calm.parent / "attacker.log").read_text()

    rng = np.random.default_rng(20)
    first = ["run", str(experiment), "--out", str(killed), *options, victim.keys["killed"]]
    again = ["resume", str(killed), *options, victim.keys["killed"]]
    in_doubt = 0
    for life in range(KILLS):
        clips, delay_s = int(rng.integers(0, 5)) * 10, float(rng.uniform(0, 0.03))
        answered = live_until(killed, again if life else first, clips, delay_s)
        assert answered < BUDGET, "the campaign ended before it was killed twenty times"
        charged = account(victim, "killed").spent
        planned = counts(killed)
        assert planned is not None
        assert answered <= charged <= planned.planned
        in_doubt += charged > answered
    assert in_doubt > 0, "no kill fell between a charge and its answer: the test tests nothing"

    process = start_attacker(again, killed.parent / "attacker.log")
    process.join()
    assert process.exitcode == 0, (killed.parent / "attacker.log").read_text()
    assert account(victim, "calm").spent == BUDGET
    assert account(victim, "killed").spent == BUDGET
    assert rows(killed).transfer_sha256() == rows(calm).transfer_sha256()
    assert rows(killed).indices.tolist() == list(range(BUDGET))
    cards = [
        json.loads((run / "noise" / "surrogates" / str(BUDGET) / "card.json").read_text())
        for run in (calm, killed)
    ]
    assert cards[0]["tensors_sha256"] == cards[1]["tensors_sha256"]
    for secret in victim.keys.values():
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("spread", ["in_turn", "contiguous"])
def test_a_sybil_that_is_killed_pays_from_each_account_once(
    spread: str, victim: RunningVictim, tmp_path: Path
) -> None:
    path, keys, folder = tmp_path / "sybil.yaml", tmp_path / "keys", tmp_path / "sybil" / "run"
    folder.parent.mkdir()
    sybil = f"in_flight: 4, accounts: 3, spread: {spread}"
    path.write_text(
        EXPERIMENT.replace("in_flight: 4", sybil).replace(f"budget: {BUDGET}", "budget: 300")
    )
    names = ACCOUNTS[2:]
    before = [account(victim, name).spent for name in names]
    keys.write_text("\n".join(victim.keys[name] for name in names))
    options = ["--url", victim.url, "--cache", str(tmp_path / "cache"), "--key-file", str(keys)]
    again = ["resume", str(folder), *options]
    rng = np.random.default_rng(3)
    for life in range(5):
        first = ["run", str(path), "--out", str(folder), *options]
        live_until(folder, again if life else first, 30, float(rng.uniform(0, 0.03)))
    process = start_attacker(again, folder.parent / "attacker.log")
    process.join()
    assert process.exitcode == 0, (folder.parent / "attacker.log").read_text()
    assert rows(folder).indices.tolist() == list(range(300))
    spent = [account(victim, name).spent for name in names]
    planned = Counter[int]()
    journal = Journal.read(folder / "noise")
    for batch in journal.batches("OBSERVED"):
        planned[account_in(batch.key)] += batch.clips
    journal.close()
    charged = [now - then for now, then in zip(spent, before, strict=True)]
    assert charged == [planned[0], planned[1], planned[2]]
    assert charged == [100, 100, 100]

    keys.write_text("\n".join(victim.keys[name] for name in reversed(names)))
    process = start_attacker(again, folder.parent / "attacker.log")
    process.join()
    assert process.exitcode == 1, "the accounts were exchanged, and nobody noticed"
    assert "accounts" in (folder.parent / "attacker.log").read_text()
