"""Replicas whose clocks are a minute apart: only the ledger's clock counts."""

import time

import pytest

from tests.unit.victim_service.ledger.asking import paced, query
from victim_service.errors import Refusal
from victim_service.keys import issue

TRUE_TIME, TRUE_TIME_NS = time.time, time.time_ns


@pytest.fixture(params=[61, -61], ids=["ahead", "behind"])
def skewed(request, monkeypatch):
    """Set this process's clock wrong within its context, as that of one replica."""

    class Skewed:
        def __enter__(self) -> None:
            monkeypatch.setattr(time, "time", lambda: TRUE_TIME() + request.param)
            monkeypatch.setattr(time, "time_ns", lambda: TRUE_TIME_NS() + request.param * 10**9)

        def __exit__(self, *error: object) -> None:
            monkeypatch.undo()

    return Skewed()


def test_a_lease_is_as_long_for_every_replica(ledger, run, open_one, skewed):
    replica = open_one()
    run(ledger.reserve(query("true"), 30.0))
    with skewed:
        with pytest.raises(Refusal, match="still-running") as caught:
            run(replica.reserve(query("true"), 30.0))
        assert 25 < caught.value.retry_after_s < 30.1
        assert run(replica.reap(0.0)) == 0
        run(replica.reserve(query("skewed"), 0.2))
    with pytest.raises(Refusal, match="still-running") as caught:
        run(ledger.reserve(query("skewed"), 30.0))
    assert caught.value.retry_after_s <= 0.202
    assert run(ledger.reap(0.0)) == 0
    time.sleep(0.21)
    assert run(ledger.reap(0.0)) == 1


def test_a_rate_is_the_same_for_every_replica(ledger, run, open_one, skewed):
    rules, replica = paced(0.1, 4), open_one()
    run(ledger.reserve(query("one", 4, rules), 30.0))
    with skewed:
        with pytest.raises(Refusal, match="rate-limited") as caught:
            run(replica.reserve(query("two", 1, rules), 30.0))
        assert 8 < caught.value.retry_after_s < 10.1
        assert run(replica.standing(rules)).rate_remaining == 0
        assert 35 < run(replica.standing(rules)).rate_reset_s < 40.1
        other = (*rules[:-1], type(rules[-1])("key:other", 0.1, 4))
        run(replica.reserve(query("three", 4, other), 30.0))
    with pytest.raises(Refusal, match="rate-limited"):
        run(ledger.reserve(query("four", 1, other), 30.0))


def test_every_time_that_is_kept_is_the_ledgers(ledger, run, open_one, skewed):
    replica, begun = open_one(), run(ledger.now())
    with skewed:
        assert abs(run(replica.now()) - begun) < 30
        _, record = issue("alice", "soft", "query", expires_at=begun + 30)
        run(replica.add_key(record))
        assert run(replica.key(record.key_id)).state == "valid"
        _, late = issue("alice", "soft", "query", expires_at=begun - 30)
        run(replica.add_key(late))
        assert run(replica.key(late.key_id)).state == "expired"
        run(replica.revoke_key(record.key_id))
        grant = run(replica.reserve(query(), 30.0))
        run(replica.commit(query(), grant))
        run(replica.note_audit(query("audit", 1, ())))
    assert abs(run(ledger.key(record.key_id)).revoked_at - begun) < 30
    assert all(abs(entry.at - begun) < 30 for entry in run(ledger.entries()))
    assert all(abs(row.last_at - begun) < 30 for row in run(ledger.spend()))
