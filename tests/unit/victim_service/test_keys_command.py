"""``earshot-victim keys``, in this process, on a ledger of its own."""

import asyncio
import re
import time

import pytest

from tests.support.apps import PLANS
from victim_service import __main__ as cli
from victim_service.commands.common import console
from victim_service.ledger import open_ledger
from victim_service.plan_book import PlanBook


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def run(url, monkeypatch, capsys):
    """Run ``keys`` with words; return (exit status, stdout, stderr)."""

    def call(*words):
        monkeypatch.setenv("VICTIM_LEDGER", url)
        monkeypatch.setattr("sys.argv", ["earshot-victim", "keys", *map(str, words)])
        monkeypatch.setattr(console, "width", 80)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return call


def ask(url, question):
    async def work():
        ledger = open_ledger(url, 10)
        try:
            return await question(ledger)
        finally:
            await ledger.aclose()

    return asyncio.run(work())


def records(url):
    return ask(url, lambda ledger: ledger.keys())


def test_a_key_has_what_it_was_issued_with(run, url):
    run("issue", "--account", "alice", "--plan", "hard", "--budget", 12, "--expires-in-days", 2)
    run("issue", "--account", "bob", "--scope", "admin")
    alice, bob = records(url)
    assert (alice.account, alice.plan, alice.scope, alice.budget) == ("alice", "hard", "query", 12)
    assert alice.expires_at - alice.issued_at == pytest.approx(2 * 86_400)
    assert alice.issued_at == pytest.approx(time.time(), abs=10)
    assert (bob.plan, bob.scope, bob.budget, bob.expires_at) == ("admin", "admin", None, None)


def test_times_are_the_ledgers_own(run, url, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 5.0)
    run("issue", "--account", "alice", "--expires-in-days", 1)
    monkeypatch.undo()
    (record,) = records(url)
    assert record.issued_at == pytest.approx(time.time(), abs=10)
    assert record.state == "valid"


def test_a_plan_of_the_ledger_can_be_sold_and_so_can_one_that_is_only_a_file_yet(run, url):
    async def put(ledger):
        await PlanBook(ledger).put(PLANS["slow"], "admin:x")

    ask(url, put)
    for plan in ("slow", "hard"):
        assert run("issue", "--account", "alice", "--plan", plan)[0] == 0
    assert sorted(record.plan for record in records(url)) == ["hard", "slow"]
    status, _, err = run("issue", "--account", "alice", "--plan", "gold")
    assert status == 1
    assert "hard" in err
    assert "slow" in err


def test_a_ledger_that_sells_needs_no_plan_files(run, url, tmp_path):
    async def put(ledger):
        await PlanBook(ledger).put(PLANS["slow"], "admin:x")

    ask(url, put)
    words = ("issue", "--account", "alice", "--plan", "slow", "--plans", tmp_path / "none")
    assert run(*words)[0] == 0


def test_the_list_shows_state_and_whole_ids_and_no_secret(run, url):
    keys = [run("issue", "--account", "alice")[1].strip() for _ in range(2)]
    expired = run("issue", "--account", "bob", "--expires-in-days", 0)[1].strip()
    run("revoke", keys[0].split("_")[1])
    status, out, _ = run("list")
    assert status == 0
    states = {}
    for key in (*keys, expired):
        _, key_id, secret, _ = key.split("_")
        assert secret not in out
        (line,) = [line for line in out.splitlines() if key_id in line]
        states[key] = line.split()[-1]
    assert list(states.values()) == ["revoked", "valid", "expired"]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d +expired", out)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--account", "a", "--scope", "admin", "--budget", 5), "no budget"),
        (("--account", "a", "--scope", "audit", "--plan", "soft"), "no plan"),
        (("--account", "-a"), "account"),
        (("--account", "a" * 65), "64"),
        (("--account", "a\n"), "letters"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_issued(run, url, words, message):
    status, out, err = run("issue", *words)
    assert (status, out) == (1, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
