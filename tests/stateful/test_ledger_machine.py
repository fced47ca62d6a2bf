"""Any order of calls: every ledger does what the model does, and refuses what it refuses.

The short form takes a few hundred steps on each backend; with EARSHOT_TORTURE=1 it is 10,000.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.stateful.ledger_model import FAST, SLOW, Expected, LedgerModel
from tests.support.torture import TORTURE
from victim_service.errors import Refusal
from victim_service.keys import issue
from victim_service.ledger import Ledger, open_ledger
from victim_service.ledger.base import (
    GLOBAL_SUBJECT,
    Budget,
    Grant,
    Query,
    Rate,
    account_subject,
    key_subject,
)
from victim_service.ledger.records import KeyRecord, PlanRecord

STEPS = 10_000 if TORTURE else 300
STEPS_A_RUN = 60
NEVER_S = 1e6
KEYS = {"k1": "a", "k2": "a", "k3": "b"}
BURSTS = {"soft": 45, "hard": None, "fast": 10**6}

key_ids = st.sampled_from(sorted(KEYS))
names = st.sampled_from([f"name-{number}" for number in range(5)])
plans = st.sampled_from(["soft", "soft", "hard", "fast"])
payloads = st.sampled_from([b"one", b"one", b"one", b"two"])
models = st.sampled_from(["m1", "m1", "m2"])
costs = st.sampled_from([None, None, 0, 3, 20])
"""What is reserved, and what it is settled at; None is one unit a clip, or all of it."""
replicas = st.sampled_from([0, 1])


class LedgerMachine(RuleBasedStateMachine):
    """Two replicas on one ledger, against the model."""

    grants: Bundle[tuple[Query, Grant]] = Bundle("grants")
    steps = 0

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.runner = asyncio.Runner()
        self.ledgers = [self.open(), self.open()]
        self.model = LedgerModel()
        self.limits: dict[str, int | None] = {"key": 30, "account": 45, "total": 80}
        self.versions = {"soft": 0, "hard": 0}
        self.keys: list[KeyRecord] = []
        self.begun = False

    def open(self) -> Ledger:
        return open_ledger(self.url, 30.0)

    def do(self, call: Any) -> Any:
        """Return what the call returns, or the code of its refusal."""

        async def work() -> Any:
            return await call

        try:
            return self.runner.run(work())
        except Refusal as refusal:
            return refusal.code

    @invariant()
    def count(self) -> None:
        """Count the rules that ran: this is checked once before the first one, and after each."""
        LedgerMachine.steps += self.begun
        self.begun = True

    def query(self, key_id: str, name: str, clips: int, **terms: Any) -> Query:
        account = KEYS[key_id]
        policies = [
            Budget(key_subject(key_id), self.limits["key"]),
            Budget(account_subject(account), self.limits["account"]),
            Budget(GLOBAL_SUBJECT, self.limits["total"]),
        ]
        burst = BURSTS[terms["plan"]]
        if burst is not None and terms["plan"] == "soft":
            policies.append(Rate(key_subject(key_id), SLOW, burst))
        elif burst is not None:
            policies.append(Rate(account_subject(account), FAST, burst))
        return Query(
            account,
            key_id,
            terms["plan"],
            name,
            terms["payload"],
            clips,
            tuple(policies),
            plan_version=max(1, self.versions.get(terms["plan"], 1)),
            model=terms["model"],
            cost=terms.get("cost"),
        )

    @rule(
        target=grants,
        key_id=key_ids,
        name=names,
        plan=plans,
        payload=payloads,
        model=models,
        clips=st.sampled_from([1, 7, 7, 50]),
        cost=costs,
        over=st.booleans(),
        who=replicas,
    )
    def reserve(self, key_id, name, plan, payload, model, clips, cost, over, who):
        terms = {"plan": plan, "payload": payload, "model": model, "cost": cost}
        asked = self.query(key_id, name, clips, **terms)
        return self._reserve(asked, over, who)

    @rule(target=grants, before=grants, cost=costs, over=st.booleans(), who=replicas)
    def send_again(self, before, cost, over, who):
        """The same key and bytes, as a client that retries; the plan may have changed since."""
        asked = before[0]
        terms = {"plan": asked.plan, "payload": asked.payload, "model": asked.model, "cost": cost}
        again = self.query(asked.key_id, asked.idempotency, asked.clips, **terms)
        return self._reserve(again, over, who)

    def _reserve(self, asked: Query, over: bool, who: int) -> Any:
        expected = self.model.judge(asked)
        foreseen = self.do(self.ledgers[1 - who].would_replay(asked))
        assert foreseen == (expected if isinstance(expected, str) else expected.replayed)
        told = self.do(self.ledgers[who].reserve(asked, 0.0 if over else NEVER_S))
        if isinstance(expected, str):
            assert told == expected
            return multiple()
        assert isinstance(told, Grant), told
        self._compare(told, expected, asked)
        self.model.reserve(asked, told, over=over)
        return asked, told

    def _compare(self, told: Grant, expected: Expected, asked: Query) -> None:
        assert (told.charged, told.replayed) == (expected.charged, expected.replayed)
        assert (told.plan_version, told.state) == (expected.version, expected.defence)
        self._compare_standing(told.standing, expected.standing, asked)

    def _compare_standing(self, told: Any, expected: Any, asked: Query) -> None:
        assert (told.budget, told.spent) == (expected.budget, expected.spent)
        assert told.remaining == expected.remaining
        if asked.plan != "fast":
            assert told.rate_remaining == expected.rate_remaining

    @rule(held=grants, cost=costs, who=replicas)
    def commit(self, held, cost, who):
        expected = None if self.model.commit(*held, cost) else "deadline-passed"
        assert self.do(self.ledgers[who].commit(*held, cost)) == expected

    @rule(held=consumes(grants), cost=costs, who=replicas)
    def commit_and_forget(self, held, cost, who):
        self.commit(held, cost, who)

    @rule(held=grants, who=replicas)
    def release(self, held, who):
        self.model.end(*held, release=True)
        assert self.do(self.ledgers[who].release(*held)) is None

    @rule(held=grants, who=replicas)
    def abandon(self, held, who):
        self.model.end(*held, release=False)
        assert self.do(self.ledgers[who].abandon(*held)) is None

    @rule(far=st.booleans(), who=replicas)
    def reap(self, far, who):
        time.sleep(0.002)  # a ledger's clock counts milliseconds
        expected = 0 if far else self.model.reap()
        assert self.do(self.ledgers[who].reap(NEVER_S if far else 0.0)) == expected

    @rule(key_id=key_ids, name=names, who=replicas)
    def audit(self, key_id, name, who):
        asked = self.query(key_id, name, 3, plan="hard", payload=b"", model="m1")
        self.model.note_audit(asked)
        self.do(self.ledgers[who].note_audit(asked))

    @rule(what=st.sampled_from(["key", "account", "total"]), limit=st.sampled_from([None, 8, 60]))
    def sell_another_budget(self, what, limit):
        self.limits[what] = limit

    @rule(account=st.sampled_from(["a", "b"]), state=st.sampled_from(["", "s1", "s2"]))
    def change_the_state_of_an_account(self, account, state):
        self.model.states[account] = state
        self.do(self.ledgers[0].set_account_state(account, state))
        assert self.do(self.ledgers[1].account_state(account)) == state

    @rule(name=st.sampled_from(["soft", "hard"]), step=st.sampled_from([0, 1, 1, 2]), who=replicas)
    def change_a_plan(self, name, step, who):
        version = self.versions[name] + step
        record = PlanRecord(name, version, f"document {version}", "file", 0.0)
        assert self.do(self.ledgers[who].add_plan(record)) == (step == 1)
        self.versions[name] += step == 1
        latest = self.do(self.ledgers[1 - who].plan(name))
        assert (0 if latest is None else latest.version) == self.versions[name]

    @rule(revoked=st.booleans(), who=replicas)
    def make_a_key(self, revoked, who):
        _, record = issue("a", "soft", "query")
        self.do(self.ledgers[who].add_key(record))
        if revoked:
            assert self.do(self.ledgers[who].revoke_key(record.key_id))
        kept = self.do(self.ledgers[1 - who].key(record.key_id))
        assert kept.state == ("revoked" if revoked else "valid")
        self.keys.append(kept)

    @rule(key_id=key_ids, plan=plans, who=replicas)
    def look(self, key_id, plan, who):
        asked = self.query(key_id, "look", 1, plan=plan, payload=b"", model="m1")
        told = self.do(self.ledgers[who].standing(asked.policies))
        self._compare_standing(told, self.model.standing(asked), asked)

    @rule(who=replicas)
    def restart_a_replica(self, who):
        self.do(self.ledgers[who].aclose())
        self.ledgers[who] = self.open()

    @rule(who=replicas)
    def add_up(self, who):
        ledger = self.ledgers[who]
        assert self.do(ledger.verify()) == []
        lines = [
            (e.kind, e.account, e.key_id, e.plan, e.plan_version, e.idempotency, e.clips, e.delta)
            for e in self.do(ledger.entries(limit=10_000))
        ]
        assert in_any_order_of_reaping(lines) == in_any_order_of_reaping(self.model.lines)
        totals = self.do(ledger.totals())
        assert {s: n for s, n in totals.spent.items() if n} == dict(+self.model.spent)
        usage = {(r.account, r.key_id, r.plan): r for r in totals.usage}
        told = {payer: (r.spent, r.queries, r.audited) for payer, r in usage.items()}
        assert told == self.model.usage()
        listed = {key.key_id: key for key in self.do(ledger.keys())}
        assert listed == {key.key_id: key for key in self.keys}

    def teardown(self) -> None:
        try:
            self.add_up(0)
        finally:
            for ledger in self.ledgers:
                self.runner.run(ledger.aclose())
            self.runner.close()


def in_any_order_of_reaping(lines: list[Any]) -> list[Any]:
    """Sort what was reaped together: by query or by the end of its lease, no order is promised."""
    runs = itertools.groupby(lines, lambda line: line[0] == "reap")
    return [line for reaped, run in runs for line in (sorted(run) if reaped else run)]


def drive(fresh_url: Callable[[], str]) -> None:
    """Take at least ``STEPS`` steps (rules of the machine), in runs on a new ledger each."""
    LedgerMachine.steps = 0
    for number in itertools.count():
        options = settings(
            max_examples=10,
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        chosen = number if not TORTURE else int(1e6 * time.time())
        machine = seed(chosen)(lambda: LedgerMachine(fresh_url()))
        run_state_machine_as_test(machine, settings=options)
        if LedgerMachine.steps >= STEPS:
            print(f"{LedgerMachine.steps} steps")
            return


@pytest.mark.timeout(3600)
def test_sqlite_does_as_the_model(tmp_path):
    numbers = itertools.count()
    drive(lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.sqlite'}")


@pytest.mark.timeout(3600)
def test_redis_does_as_the_model(redis_server):
    drive(redis_server.fresh_url)
