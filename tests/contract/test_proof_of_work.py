"""Proofs of work over HTTP: what the service asks for, the attacker's client does."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from attacker.errors import ProofTooHard
from attacker.http_oracle import HttpOracle
from shared.audio import to_int16
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_clips, make_victim, running_victim
from victim_service.account_state import AccountState
from victim_service.ledger import open_ledger

PLANS = {
    "worked": "{kind: proof_of_work, bits: 6}",
    "calibrated": "{kind: proof_of_work, bits: 2, base: 2.0, per_clip: 0.0, most_bits: 30}",
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    folder: Path = tmp_path_factory.mktemp("victim")
    make_victim(folder / "checkpoint")
    (folder / "plans").mkdir()
    for name, chain in PLANS.items():
        text = f"name: {name}\nlabel_mode: soft\nbudget: 100\ndefences: [{chain}]\n"
        (folder / "plans" / f"{name}.yaml").write_text(text)
    options = ("--plans", str(folder / "plans"))
    with running_victim(folder / "checkpoint", folder, new_keys=False, options=options) as running:
        running.keys = {name: add_key(running.ledger_path, name, plan=name) for name in PLANS}
        running.keys["audit"] = add_key(running.ledger_path, "laboratory", scope="audit")
        yield running


def ask(
    victim: RunningVictim, name: str, clips: np.ndarray, times: int = 1
) -> tuple[HttpOracle, list[np.ndarray], int]:
    """Ask the same ``times`` over; return the oracle, its answers and what was spent."""

    async def run() -> tuple[HttpOracle, list[np.ndarray], int]:
        async with HttpOracle(victim.url, victim.keys[name], patience_s=5) as oracle:
            answers = [
                await oracle.classify(clips, f"proof-test-{len(clips)}") for _ in range(times)
            ]
            return oracle, answers, (await oracle.account()).spent

    return asyncio.run(run())


def test_a_batch_is_worked_for_once_and_its_answer_is_the_models_own(
    victim: RunningVictim,
) -> None:
    clips = to_int16(make_clips(4, seed=1))
    oracle, answers, spent = ask(victim, "worked", clips, times=3)
    _, (model,), _ = ask(victim, "audit", clips)
    assert (oracle.work.proofs, spent) == (1, 4)
    assert 1 <= oracle.work.hashes <= 64 << 8  # 6 bits, and 2 for 4 clips
    for rows in answers:
        np.testing.assert_array_equal(rows, model)


def test_an_account_that_learnt_too_much_is_asked_for_more_than_the_client_does(
    victim: RunningVictim,
) -> None:
    async def learn() -> None:
        ledger = open_ledger(victim.ledger_url)
        state = AccountState(queries=1000, leakage=500.0)
        try:
            await ledger.set_account_state("calibrated", state.text)
        finally:
            await ledger.aclose()

    oracle, _, spent = ask(victim, "calibrated", to_int16(make_clips(1, seed=2)))
    assert (oracle.work.proofs, spent) == (1, 1)
    asyncio.run(learn())
    with pytest.raises(ProofTooHard, match="31 bits"):
        ask(victim, "calibrated", to_int16(make_clips(2, seed=3)))
