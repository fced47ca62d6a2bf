"""Exactness in every ledger: whatever runs at once or dies, a budget of B grants B."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.torture import TORTURE
from tests.unit.victim_service.ledger.asking import LEASE_S, PATIENT_S, policies, query
from victim_service.errors import Refusal
from victim_service.ledger import Ledger, open_ledger
from victim_service.ledger.records import PlanRecord

BUDGET = 500
PROCESSES, TASKS = 4, 250
REPETITIONS = 100 if TORTURE else 3
ROOT = Path(__file__).parents[4]


async def buy_all(ledger: Ledger, who: str, key_id: str, tasks: int, clips: int) -> int:
    """Run ``tasks`` tasks that each buy once; return the clips that were granted."""
    rules = policies(key=BUDGET, key_id=key_id)

    async def one(number: int) -> int:
        asked = query(f"{who}-{key_id}-{number}", clips, rules, key_id=key_id)
        try:
            grant = await ledger.reserve(asked, LEASE_S)
        except Refusal as refusal:
            if refusal.code != "budget-exhausted":
                raise
            return 0
        await ledger.commit(asked, grant)
        return grant.charged

    return sum(await asyncio.gather(*(one(number) for number in range(tasks))))


def buy_on_order(address: str, who: str, clips: int) -> None:
    """Read key ids and answer each, when all was bought that this process may have."""
    with asyncio.Runner() as runner:
        ledger = open_ledger(address, PATIENT_S)
        for line in sys.stdin:
            granted = runner.run(buy_all(ledger, who, line.strip(), TASKS, clips))
            print(granted, flush=True)
        runner.run(ledger.aclose())


def program(call: str, *options: object) -> subprocess.Popen[str]:
    source = f"import sys\nfrom tests.unit.victim_service.ledger.test_exactness import *\n{call}"
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, options)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("clips", [1, 7])
def test_processes_are_granted_exactly_the_budget(ledger, run, address, clips):
    call = "buy_on_order(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    processes = [program(call, address, f"p{number}", clips) for number in range(PROCESSES)]
    try:
        for repetition in range(REPETITIONS):
            key_id = f"k{repetition}"
            for process in processes:
                process.stdin.write(f"{key_id}\n")
                process.stdin.flush()
            granted = [int(process.stdout.readline()) for process in processes]
            assert sum(granted) == BUDGET // clips * clips
            left = run(ledger.standing(policies(key=BUDGET, key_id=key_id)))
            assert (left.spent, left.remaining) == (sum(granted), BUDGET % clips)
    finally:
        for process in processes:
            process.communicate(timeout=60)
    assert run(ledger.verify()) == []


@pytest.mark.parametrize("clips", [1, 7])
def test_threads_are_granted_exactly_the_budget(ledger, run, address, clips):
    granted: list[int] = []

    def work(number: int) -> None:
        with asyncio.Runner() as runner:
            store = open_ledger(address, PATIENT_S)
            granted.append(runner.run(buy_all(store, f"t{number}", "k", 90, clips)))
            runner.run(store.aclose())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == BUDGET // clips * clips
    assert run(ledger.verify()) == []


@pytest.mark.parametrize("replicas", [1, 2])
def test_fifty_sends_of_one_key_are_charged_once(run, open_one, replicas):
    stores = [open_one() for _ in range(replicas)]

    async def work() -> list[object]:
        sends = (stores[n % replicas].reserve(query(clips=7), LEASE_S) for n in range(50))
        return await asyncio.gather(*sends, return_exceptions=True)

    outcomes = run(work())
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert len(refused) == 49
    assert {refusal.code for refusal in refused} == {"still-running"}
    assert run(stores[0].standing(policies())).spent == 7


def test_fifty_clients_that_try_until_they_are_answered_pay_once(ledger, run):
    async def one() -> tuple[int, bool]:
        while True:
            try:
                grant = await ledger.reserve(query(clips=7), LEASE_S)
            except Refusal as refusal:
                if refusal.code != "still-running":
                    raise
                await asyncio.sleep(0.005)
                continue
            if not grant.replayed:
                await asyncio.sleep(0.02)
                await ledger.commit(query(clips=7), grant)
            return grant.charged, grant.replayed

    async def work() -> list[tuple[int, bool]]:
        return await asyncio.gather(*(one() for _ in range(50)))

    answers = run(work())
    assert sorted(answers) == [(0, True)] * 49 + [(7, False)]
    assert run(ledger.totals()).spent["key:k"] == 7


def test_one_of_two_versions_of_a_plan_wins(run, open_one):
    stores = [open_one(), open_one()]

    async def work() -> list[bool]:
        records = [PlanRecord("soft", 1, f"document {n}", "file", 0.0) for n in range(20)]
        added = (stores[n % 2].add_plan(record) for n, record in enumerate(records))
        return await asyncio.gather(*added)

    assert sum(run(work())) == 1
    assert len(run(stores[0].plan_history("soft"))) == 1


def test_a_ledger_adds_up_while_it_sells(ledger, run):
    rules = policies(key=None)

    async def sell(worker: int, done: asyncio.Event) -> int:
        number = 0
        while not done.is_set():
            number += 1
            asked = query(f"{worker}-{number}", 3, rules)
            grant = await ledger.reserve(asked, LEASE_S)
            if number % 3:
                await ledger.commit(asked, grant)
            else:
                await ledger.release(asked, grant)
        return number

    async def work() -> int:
        done = asyncio.Event()
        sellers = [asyncio.create_task(sell(worker, done)) for worker in range(8)]
        for _ in range(5):
            await asyncio.sleep(0.1)
            assert await ledger.verify() == []
        done.set()
        return sum(await asyncio.gather(*sellers))

    assert run(work()) > 50
    assert run(ledger.verify()) == []


async def reserve_and_die(address: str, lease_s: float) -> None:
    """Reserve a query, and be killed before it can be committed."""
    await open_ledger(address, PATIENT_S).reserve(query(clips=7), lease_s)
    signal.raise_signal(signal.SIGKILL)


@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "bought anew"])
def test_a_crash_between_reserve_and_commit_is_paid_once_or_not_at_all(
    ledger, run, buy, refusal, address, reaped
):
    died = program("asyncio.run(reserve_and_die(sys.argv[1], float(sys.argv[2])))", address, 2.0)
    assert died.wait(timeout=60) == -signal.SIGKILL
    lease_until = run(ledger.entries())[-1].at + 2.0
    assert run(ledger.standing(policies())).spent == 7
    if run(ledger.now()) < lease_until - 1.0:
        assert refusal(query(clips=7)).code == "still-running"
    time.sleep(max(0.0, lease_until + 0.05 - run(ledger.now())))
    if reaped:
        assert run(ledger.reap(60.0)) == 0
        assert run(ledger.reap(0.0)) == 1
        assert run(ledger.standing(policies())).spent == 0
    assert buy(query(clips=7)) == 7
    assert run(ledger.standing(policies())).spent == 7
    assert run(ledger.verify()) == []
