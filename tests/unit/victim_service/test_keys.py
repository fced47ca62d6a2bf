import asyncio
import dataclasses
import hashlib
import hmac
import time

import pytest

from victim_service import keys
from victim_service.errors import Refusal
from victim_service.keys import KeyRing, issue, issue_into


class Store:
    """The part of a ledger that keys need, with a clock of its own."""

    def __init__(self, *records, delay_s=0.0):
        self.records = {record.key_id: record for record in records}
        self.delay_s = delay_s
        self.clock = 1_000_000.0
        self.reads = self.running = self.most_running = 0
        self.failing = False

    async def key(self, key_id):
        self.reads += 1
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await asyncio.sleep(self.delay_s)
            if self.failing:
                raise Refusal("ledger-unreachable")
            record = self.records.get(key_id)
        finally:
            self.running -= 1
        if record is None or record.expires_at is None:
            return record
        return dataclasses.replace(record, expired=record.expires_at <= self.clock)

    async def add_key(self, record):
        self.records[record.key_id] = record

    async def now(self):
        return self.clock


def check(store, *presented):
    async def work():
        ring = KeyRing(store)
        return [await ring.check(key) for key in presented]

    return asyncio.run(work())


def refused(store, key):
    with pytest.raises(Refusal) as caught:
        check(store, key)
    return caught.value.code


def test_a_key_has_four_parts_and_only_its_digest_is_kept():
    key, record = issue("alice", "soft", "query")
    prefix, key_id, secret, checksum = key.split("_")
    assert (prefix, key_id, len(secret), len(checksum)) == ("lab", record.key_id, 64, 8)
    assert record.digest == hashlib.sha256(key.encode()).digest()
    assert secret not in repr(record)


def test_keys_differ():
    assert len({issue("a", "soft", "query")[0] for _ in range(100)}) == 100


def test_a_valid_key_is_known_and_read_once_a_second():
    key, record = issue("alice", "soft", "query")
    store = Store(record)
    assert check(store, key, key, key) == [record] * 3
    assert store.reads == 1


def test_every_changed_character_is_refused():
    key, record = issue("alice", "soft", "query")
    store = Store(record)
    for place in range(len(key)):
        other = "0" if key[place] != "0" else "1"
        assert refused(store, key[:place] + other + key[place + 1 :]) == "invalid-key"
    assert store.reads == 0  # the checksum told


def test_a_wrong_secret_with_a_right_checksum_is_refused(monkeypatch):
    _, record = issue("alice", "soft", "query")
    body = f"lab_{record.key_id}_{'0' * 64}"
    compared = []
    real = hmac.compare_digest

    def compare(left, right):
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    assert refused(Store(record), f"{body}_{keys._checksum(body)}") == "invalid-key"
    assert len(compared) == 1


@pytest.mark.parametrize("key", ["", "lab", "lab_1_2_3", "\u0661" * 90, "lab_" + "x" * 100_000])
def test_what_is_no_key_is_refused(key):
    assert refused(Store(), key) == "invalid-key"


def test_expired_revoked_and_unknown_keys_are_refused():
    store = Store()
    key, record = issue("alice", "soft", "query", expires_at=store.clock)
    assert refused(Store(record), key) == "invalid-key"
    key, record = issue("alice", "soft", "query", expires_at=store.clock + 60)
    assert check(Store(record), key) == [record]
    assert refused(Store(), key) == "invalid-key"
    revoked = dataclasses.replace(record, revoked_at=store.clock)
    assert refused(Store(revoked), key) == "invalid-key"


def test_keys_expire_by_the_ledgers_clock_and_not_by_this_machines(monkeypatch):
    store = Store()

    async def work():
        return await issue_into(store, "alice", "soft", "query", valid_for_s=60)

    key, record = asyncio.run(work())
    assert (record.issued_at, record.expires_at) == (store.clock, store.clock + 60)
    monkeypatch.setattr(keys.time, "time", lambda: store.clock + 61)
    assert check(store, key) == [record]
    store.clock += 61
    monkeypatch.undo()
    assert refused(store, key) == "invalid-key"


def test_only_query_keys_have_a_plan():
    store = Store()

    async def work():
        for scope in ("query", "audit", "admin"):
            await issue_into(store, "alice", "soft", scope)

    asyncio.run(work())
    assert [record.plan for record in store.records.values()] == ["soft", "audit", "admin"]


def test_a_revocation_is_seen_within_a_second():
    key, record = issue("alice", "soft", "query")
    store = Store(record)
    now = [100.0]

    async def work():
        ring = KeyRing(store, lambda: now[0])
        await ring.check(key)
        store.records[record.key_id] = dataclasses.replace(record, revoked_at=time.time())
        now[0] += 1.01
        await ring.check(key)

    with pytest.raises(Refusal, match="invalid-key"):
        asyncio.run(work())


def key_of(key_id, character="0"):
    """A well-formed key that nobody issued."""
    body = f"lab_{key_id}_{character * 64}"
    return f"{body}_{keys._checksum(body)}"


def outcomes(ring, *presented):
    """What each of many checks at once comes to."""

    async def one(key):
        try:
            return (await ring.check(key)).account
        except Refusal as refusal:
            return refusal.code

    return asyncio.gather(*(one(key) for key in presented))


def test_many_requests_at_once_ask_the_ledger_once():
    key, record = issue("alice", "soft", "query")
    store = Store(record, delay_s=0.01)

    async def work():
        ring = KeyRing(store)
        wrong = key_of(record.key_id)
        return await outcomes(ring, *[key, wrong] * 250)

    assert asyncio.run(work()) == ["alice", "invalid-key"] * 250
    assert store.reads == 1


def test_a_cold_start_asks_the_ledger_once_a_key_and_so_does_the_next_second():
    made = [issue(f"account-{number}", "soft", "query") for number in range(20)]
    store = Store(*(record for _, record in made), delay_s=0.002)
    now = [100.0]

    async def work():
        ring = KeyRing(store, lambda: now[0])
        for _ in range(3):
            await outcomes(ring, *[key for key, _ in made] * 10)
            now[0] += 1.01

    asyncio.run(work())
    assert store.reads == 60


def test_one_client_that_leaves_does_not_take_the_answer_from_the_others():
    key, record = issue("alice", "soft", "query")
    store = Store(record, delay_s=0.02)

    async def work():
        ring = KeyRing(store)
        first = asyncio.create_task(ring.check(key))
        second = asyncio.create_task(ring.check(key))
        await asyncio.sleep(0.005)
        first.cancel()
        return await second

    assert asyncio.run(work()) == record
    assert store.reads == 1


def test_a_ledger_that_fails_fails_every_check_and_is_asked_again():
    key, record = issue("alice", "soft", "query")
    store = Store(record, delay_s=0.005)
    store.failing = True

    async def work():
        ring = KeyRing(store)
        failed = await outcomes(ring, key, key)
        store.failing = False
        return failed, await ring.check(key)

    failed, found = asyncio.run(work())
    assert failed == ["ledger-unreachable"] * 2
    assert found == record


def test_an_unknown_id_is_asked_for_once_a_second():
    store = Store()
    now = [100.0]

    async def work():
        ring = KeyRing(store, lambda: now[0])
        for secret in "0123456789":
            assert await outcomes(ring, key_of("a" * 12, secret)) == ["invalid-key"]
        reads = store.reads
        now[0] += 1.01
        await outcomes(ring, key_of("a" * 12))
        return reads

    assert asyncio.run(work()) == 1
    assert store.reads == 2


def test_a_key_that_is_issued_after_its_id_was_guessed_opens_within_a_second():
    key, record = issue("alice", "soft", "query")
    store = Store()
    now = [100.0]

    async def work():
        ring = KeyRing(store, lambda: now[0])
        before = await outcomes(ring, key)
        store.records[record.key_id] = record
        now[0] += 1.01
        return before + await outcomes(ring, key)

    assert asyncio.run(work()) == ["invalid-key", "alice"]


def test_guessing_keys_neither_floods_the_ledger_nor_keeps_it_from_those_who_pay():
    key, record = issue("alice", "soft", "query")
    store = Store(record, delay_s=0.03)

    async def work():
        ring = KeyRing(store)
        await ring.check(key)
        ring._known[record.key_id] = (-10.0, record)  # its second is over
        store.reads = 0
        guesses = asyncio.ensure_future(
            outcomes(ring, *(key_of(f"{number:012x}") for number in range(1000)))
        )
        await asyncio.sleep(0)
        assert (await ring.check(key)) == record
        before, answers = store.reads - 1, await guesses
        return before, store.reads, set(answers)

    before, reads, answers = asyncio.run(work())
    assert store.most_running <= 33  # 32 strangers and the one who pays
    assert before <= 64  # it was read beside the first strangers, and did not wait for more
    assert reads < 500  # most guesses were refused before the ledger was asked
    assert answers == {"invalid-key", "ledger-unreachable"}


def test_memory_is_bounded_and_guesses_do_not_push_out_keys_in_use(monkeypatch):
    monkeypatch.setattr(keys, "_CACHE_KEYS", 50)
    key, record = issue("alice", "soft", "query")
    store = Store(record)

    async def work():
        ring = KeyRing(store)
        await ring.check(key)
        for number in range(500):
            await outcomes(ring, key_of(f"{number:012x}"))
        reads = store.reads
        await ring.check(key)
        return ring, store.reads - reads

    ring, reads = asyncio.run(work())
    assert reads == 0
    assert (len(ring._known), len(ring._unknown), len(ring._reads)) == (1, 50, 0)
