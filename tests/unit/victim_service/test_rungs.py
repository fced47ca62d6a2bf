"""How an operator reads and sets rungs: over HTTP, and at the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from shared import contract
from tests.support.apps import Shop
from tests.support.watched import LADDER, good, plan_of, play, refused, send
from victim_service import __main__ as cli
from victim_service.account_state import AccountState
from victim_service.commands.common import console
from victim_service.errors import StartError
from victim_service.keys import issue
from victim_service.ledger.records import Note
from victim_service.ledger.sqlite import SqliteLedger
from victim_service.plan_book import PlanBook
from victim_service.remembered import Remembered
from victim_service.rungs import ladder_of, set_rung

pytestmark = pytest.mark.usefixtures("loud_detector")
ALICE = f"{contract.ADMIN_ACCOUNTS_PATH}/alice"


async def put(shop: Shop, admin: str, body: object, account: str = "alice") -> Any:
    headers = {"authorization": f"Bearer {admin}"}
    path = f"{contract.ADMIN_ACCOUNTS_PATH}/{account}/ladder"
    return await shop.client.put(path, headers=headers, json=body)


def test_an_operator_sees_why_and_takes_a_step_back(ledger_url):
    async def story(shop: Shop) -> None:
        key, admin = await shop.key(), await shop.key(scope="admin", account="boss")
        good(await send(shop, key, "LLLLLLLLqqqqL"))
        told = contract.AccountLadder.model_validate(
            (await shop.get(f"{ALICE}/ladder", admin)).json()
        )
        assert (told.rung, told.alarms, told.queries) == (1, 0, 13)
        assert told.in_force == {"soft": ["price_up"]}
        assert [(step.before, step.after, step.by) for step in told.steps] == [(0, 1, "detectors")]
        assert [reading.alarm for reading in told.readings] == [True, True, False]
        answer = await put(shop, admin, {"rung": 5, "reason": "a thief, by the lawyers"})
        assert answer.status_code == 200
        refused(await send(shop, key, "q"), "account-suspended")
        answer = await put(shop, admin, {"rung": 0, "reason": "it was a mistake"})
        told = contract.AccountLadder.model_validate(answer.json())
        assert (told.rung, told.in_force) == (0, {"soft": []})
        assert [step.after for step in told.steps] == [1, 5, 0]
        assert told.steps[-1].reason == "it was a mistake"
        assert told.steps[-1].by.startswith("admin:")
        good(await send(shop, key, "q"))
        accounts = (await shop.get(contract.ADMIN_ACCOUNTS_PATH, admin)).json()["accounts"]
        assert {one["account"]: one["rung"] for one in accounts} == {"alice": 0, "boss": 0}
        metrics = (await shop.get("/metrics")).text
        assert 'victim_ladder_steps_total{rung="5"} 1.0' in metrics
        assert 'victim_refusals_total{code="account-suspended"} 1.0' in metrics

    play(ledger_url, story)


def test_alarms_count_anew_after_a_step_and_detectors_begin_anew_where_told(ledger_url):
    async def story(shop: Shop) -> None:
        key, admin = await shop.key(), await shop.key(scope="admin", account="boss")
        good(await send(shop, key, "LLLLLL"))
        await put(shop, admin, {"rung": 0, "reason": "count anew"})
        found = Remembered.read(await shop.ledger.watched("alice"))
        assert (found.state.alarms, list(found.filled.values())) == (0, [2])
        await put(shop, admin, {"rung": 0, "reason": "see anew", "forget": True})
        found = Remembered.read(await shop.ledger.watched("alice"))
        assert (found.memories, found.filled) == ({}, {})
        assert (found.state.queries, len(found.queries)) == (6, 1)
        good(await send(shop, key, "qqqq"))
        readings = (await shop.get(f"{ALICE}/readings", admin)).json()["readings"]
        assert [(one["query"], one["score"]) for one in readings] == [(4, 1.0), (10, 0.0)]

    play(ledger_url, story)


def test_readings_come_in_pages(ledger_url):
    async def story(shop: Shop) -> None:
        key, admin = await shop.key(), await shop.key(scope="admin", account="boss")
        good(await send(shop, key, "q" * 24))
        path = f"{ALICE}/readings"
        everything = (await shop.get(path, admin)).json()["readings"]
        assert [one["query"] for one in everything] == [4, 8, 12, 16, 20, 24]
        first = (await shop.get(f"{path}?limit=4", admin)).json()["readings"]
        rest = (await shop.get(f"{path}?limit=4&after={first[-1]['id']}", admin)).json()["readings"]
        assert first + rest == everything
        for wrong in ("limit=0", "limit=1001", "limit=many", "after=-1", "after=x"):
            refused(await shop.get(f"{path}?{wrong}", admin), "malformed-request")

    play(ledger_url, story, plan_of())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"rung": 6, "reason": "too high"}, "from 0 to 5"),
        ({"rung": -1, "reason": "too low"}, "rung"),
        ({"rung": 1}, "reason"),
        ({"rung": 1, "reason": ""}, "reason"),
        ({"rung": 1, "reason": "x", "quiet": True}, "quiet"),
        ({"rung": True, "reason": "x"}, "rung"),
    ],
)
def test_an_order_that_makes_no_sense_changes_nothing(tmp_path, body, word):
    async def story(shop: Shop) -> None:
        await shop.key()
        admin = await shop.key(scope="admin", account="boss")
        assert word in refused(await put(shop, admin, body), "malformed-request")["detail"]
        assert (await shop.ledger.watched("alice")).version == 0

    play(f"sqlite:///{tmp_path / 'ledger.sqlite'}", story)


def test_an_account_without_a_key_is_not_found(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin", account="boss")
        for path in (f"{ALICE}/ladder", f"{ALICE}/readings"):
            refused(await shop.get(path, admin), "not-found")
        refused(await put(shop, admin, {"rung": 0, "reason": "x"}), "not-found")
        refused(await put(shop, admin, {"rung": 0, "reason": "x"}, "a" * 65), "not-found")

    play(f"sqlite:///{tmp_path / 'ledger.sqlite'}", story)


def test_a_plan_whose_detectors_cannot_run_here_cannot_be_sold_here(tmp_path):
    async def story(shop: Shop) -> None:
        admin = await shop.key(scope="admin", account="boss")
        body = {"label_mode": "hard", "detectors": [{"kind": "loud"}]}
        headers = {"authorization": f"Bearer {admin}"}
        answer = await shop.client.put("/v1/admin/plans/other", headers=headers, json=body)
        assert "detectors fit" in refused(answer, "malformed-request")["detail"]
        assert await shop.ledger.plan("other") is None

    play(f"sqlite:///{tmp_path / 'ledger.sqlite'}", story, reference=None)


def test_a_step_that_meets_a_query_is_taken_all_the_same(ledger_url):
    async def story(shop: Shop) -> None:
        key = await shop.key(budget=1000)

        async def ask() -> None:
            for _ in range(12):
                good(await send(shop, key, "qq"))

        asking = asyncio.create_task(ask())
        for rung in (1, 0, 1, 0):
            await set_rung(shop.ledger, "alice", rung, "back and forth", "command")
        await asking
        found = await ladder_of(shop.ledger, "alice")
        assert found is not None
        assert [step.after for step in found.steps] == [1, 0, 1, 0]
        assert (found.queries, found.rung) == (24, 0)
        with pytest.raises(StartError, match="no account 'nobody'"):
            await set_rung(shop.ledger, "nobody", 0, "x", "command")

    play(ledger_url, story)


# ------------------------------------------------------------------------------- the command line


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command on a ledger that knows alice; return (exit status, stdout, stderr)."""

    async def prepare(ledger: SqliteLedger) -> None:
        await PlanBook(ledger).put(plan_of(ladder=LADDER), "file")
        await ledger.add_key(issue("alice", "soft", "query")[1])
        state = AccountState(rung=1, alarms=1, queries=7).text
        step = {"from": 0, "to": 1, "reason": "loud at clip 4", "by": "detectors"}
        reading = {"detector": "loud", "query": 4, "score": 0.9, "threshold": 0.5, "alarm": True}
        notes = [Note("step", json.dumps(step)), Note("reading", json.dumps(reading))]
        await ledger.keep_watched("alice", 0, b"", state, notes)
        await ledger.aclose()

    path: Path = tmp_path / "ledger.sqlite"
    asyncio.run(prepare(SqliteLedger(path)))

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("VICTIM_LEDGER", f"sqlite:///{path}")
        monkeypatch.setattr("sys.argv", ["earshot-victim", "ladder", *map(str, words)])
        monkeypatch.setattr(console, "width", 160)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return call


def test_the_command_lists_shows_and_sets(run):
    status, out, _ = run("list")
    assert status == 0
    for word in ("alice", "price_up", "loud at clip 4 (detectors)"):
        assert word in out
    status, out, _ = run("show", "alice")
    assert status == 0
    assert "alice is on rung 1 (price_up), with 1 alarms since, after 7 watched clips." in out
    for word in ("loud at clip 4", "0.9", "0.5", "alarm"):
        assert word in out
    assert run("set", "alice", 5, "--reason", "seen on film")[:2] == (
        0,
        "alice is on rung 5; it was on rung 1.\n",
    )
    out = run("show", "alice")[1]
    assert "price_up, degrade, challenge, throttle, suspend" in out
    assert "seen on film" in out
    assert run("set", "alice", 0, "--reason", "the film was another's", "--forget")[0] == 0
    assert "nothing in force" in run("show", "alice")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "bob"), "there is no account 'bob'. See `earshot-victim ladder list`."),
        (("set", "bob", 1, "--reason", "x"), "there is no account 'bob'"),
        (("set", "alice", 6, "--reason", "x"), "Name a rung from 0 to 5."),
        (("set", "alice", 1, "--reason", " "), "--reason: say why"),
    ],
)
def test_a_command_that_cannot_go_on_says_why(run, words, message):
    status, _, err = run(*words)
    assert status == 1
    assert message in err


def test_a_step_needs_a_reason(run):
    status, _, err = run("set", "alice", 1)
    assert status == 2
    assert "reason" in err
