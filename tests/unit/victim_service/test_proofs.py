"""Proofs of work: what is asked for, what is taken, and what it costs to find."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest

from shared.config import ConfigError, validate
from shared.proof import leading_zero_bits, split, worth
from tests.support.apps import open_shop
from tests.support.proofs import solve
from tests.support.victims import make_clips
from victim_service import proofs
from victim_service.account_state import AccountState
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.errors import Refusal
from victim_service.ledger.base import Query
from victim_service.plans import Plan

SECRET = b"s" * 32
NOW = 1_700_000_000.0
QUERY = Query("alice", "k1", "work", "client:query-one", b"p" * 32, 1, ())
CALIBRATED = ProofOfWorkSpec(bits=8, base=2.0, per_clip=0.1, allowance=5.0, most_bits=20)


class Register:
    """As much of a ledger as a proof needs."""

    def __init__(self, now: float = NOW, known: bool = False) -> None:
        self.at, self.known, self.asked = now, known, 0

    async def now(self) -> float:
        return self.at

    async def would_replay(self, query: Query) -> bool:
        self.asked += 1
        return self.known


def check(proof: str, query: Query = QUERY, *, ledger=None, bits: int = 6, secret=SECRET):
    """The refusal of a proof; None when it is taken."""
    wanted = proofs.Demand(bits, 60.0)
    try:
        asyncio.run(proofs.require(ledger or Register(), secret, query, wanted, proof))
    except Refusal as refusal:
        return refusal
    return None


def test_zero_bits_are_counted_from_the_front():
    rows = [(b"\xff", 0), (b"\x01", 7), (b"\x00\x80", 8), (b"\x00\x1f\xff", 11), (b"\0\0", 16)]
    assert [leading_zero_bits(digest) for digest, _ in rows] == [bits for _, bits in rows]


def test_what_is_no_proof_is_told_apart():
    assert split("abc_-1.0z") == ("abc_-1", "0z")
    for text in ("", "abc", "abc.", ".1", "a.b.c", "a.B", "a b.1", "a.1\n", "a" * 201 + ".1"):
        assert split(text) is None, text


def test_an_answered_challenge_is_taken_by_its_query_alone():
    refusal = check("")
    assert refusal.code == "proof-required"
    assert refusal.members["bits"] == 6
    proof, _ = solve(refusal.members["challenge"], 6)
    assert check(proof) is None
    assert check(proof, ledger=Register(NOW + 59.9)) is None
    others = {
        "account": replace(QUERY, account="bob"),
        "payload": replace(QUERY, payload=b"q" * 32),
        "name": replace(QUERY, idempotency="client:query-two"),
        "shifted": replace(QUERY, account="alicec", idempotency="lient:query-one"),
        "key": replace(QUERY, key_id="k2"),
        "plan": replace(QUERY, plan="dear"),
        "version": replace(QUERY, plan_version=2),
    }
    for name, query in others.items():
        assert "another query" in check(proof, query).detail, name
    assert "another query" in check(proof, secret=b"t" * 32).detail
    assert "expired" in check(proof, ledger=Register(NOW + 60.0)).detail


def test_work_that_was_not_done_is_not_taken():
    challenge = check("").members["challenge"]
    lazy = next(f"{challenge}.{n}" for n in range(1000) if worth(challenge, str(n)) < 6)
    assert "worth less" in check(lazy).detail
    for text in ("nonsense", "AAAA.1", f"{challenge}.", f"{challenge[:-2]}.1", "=.1", "é.1"):
        assert check(text).code == "proof-required", text


def test_who_lengthens_the_time_of_a_challenge_breaks_its_signature():
    challenge = check("").members["challenge"]
    late = proofs.make_challenge(b"mine" * 8, QUERY, NOW + 1e6)
    for forged in (late, late[:10] + challenge[10:]):
        proof, _ = solve(forged, 6)
        assert "another query" in check(proof).detail


def test_a_proof_is_weighed_at_the_price_of_the_moment_when_it_is_shown():
    asked = check("", bits=3)
    first = (f"{asked.members['challenge']}.{n}" for n in range(10_000))
    light = next(proof for proof in first if 3 <= worth(*split(proof)) < 9)
    refusal = check(light, bits=9)
    assert (refusal.code, refusal.members["bits"]) == ("proof-required", 9)
    assert "less than is asked for now" in refusal.detail
    proof, _ = solve(refusal.members["challenge"], 9)
    assert check(proof, bits=9) is None
    assert check(light, bits=3) is None


def test_a_replay_is_not_asked_again_and_a_good_proof_needs_no_lookup():
    known = Register(known=True)
    for proof in ("", "nonsense", "AAAA.1"):
        assert check(proof, ledger=known) is None
    fresh = Register()
    proof, _ = solve(check("").members["challenge"], 6)
    assert check(proof, ledger=fresh) is None
    assert fresh.asked == 0


def test_the_mean_work_is_two_to_the_bits():
    """Geometric, so that its deviation is its mean: that of n proofs lies within 4 / sqrt(n)."""
    for bits in (4, 7):
        took = [
            solve(proofs.make_challenge(SECRET, replace(QUERY, payload=b"%d" % n), NOW), bits)
            for n in range(600)
        ]
        mean = np.mean([hashes for _, hashes in took])
        assert abs(mean - 2**bits) < 4 * 2**bits / math.sqrt(len(took))


def test_a_fixed_price_ignores_what_an_account_has_had():
    for state in (AccountState(), AccountState(queries=10, leakage=1e6)):
        assert ProofOfWorkSpec(bits=9).bits_for(state) == 9
    assert not proofs.asks_for_state((ProofOfWorkSpec(),))
    assert proofs.asks_for_state((CALIBRATED,))


@pytest.mark.parametrize(
    ("queries", "leakage", "bits"),
    [
        (0, 0.0, 8),
        (100, 0.0, 8),  # less than expected costs no more, and no less
        (100, 15.0, 8),  # 5 + 0.1 x 100: as expected
        (100, 15.9, 8),
        (100, 16.0, 9),
        (100, 20.0, 13),
        (100, 27.0, 20),
        (100, 1e300, 20),
    ],
)
def test_a_calibrated_price_counts_what_is_above_the_expected(queries, leakage, bits):
    assert CALIBRATED.bits_for(AccountState(queries=queries, leakage=leakage)) == bits


def test_total_work_grows_faster_than_the_thefts_leakage():
    spec = ProofOfWorkSpec(bits=8, base=1.2, per_clip=0.1, allowance=1.0, most_bits=32)

    def total(clips: int, each: float) -> float:
        states = [AccountState(queries=n, leakage=n * each) for n in range(clips)]
        return float(sum(2.0 ** spec.bits_for(state) for state in states))

    assert total(200, 0.1) == 2 * total(100, 0.1)  # an honest account
    assert total(100, 0.6) > 4 * total(50, 0.6)


def test_a_batch_costs_as_many_bits_as_it_doubles():
    chain = (ProofOfWorkSpec(bits=5),)
    bits = [proofs.demand(chain, AccountState(), clips).bits for clips in (1, 2, 3, 4, 64, 65)]
    assert bits == [5, 6, 7, 7, 11, 12]
    assert proofs.demand((), AccountState(), 1) is None
    assert proofs.demand((), AccountState(), 2, at_least=14).bits == 15
    assert proofs.demand(chain, AccountState(), 1, at_least=14).bits == 14


def test_a_price_that_cannot_hold_is_refused():
    for wrong in ({"bits": 0}, {"bits": 21}, {"base": 1.0}, {"bits": 40, "most_bits": 40}):
        with pytest.raises(ConfigError):
            validate({"kind": "proof_of_work", **wrong}, ProofOfWorkSpec, origin="p")


def working_plan(**terms) -> dict[str, Plan]:
    chain = (ProofOfWorkSpec(**terms),)
    return {"soft": Plan(name="soft", label_mode="soft", budget=100, defences=chain)}


def test_the_service_asks_first_and_charges_once(tmp_path):
    async def story():
        async with open_shop(tmp_path, plans=working_plan(bits=5)) as shop:
            key, other = await shop.key(), await shop.key(account="bob")
            clips = make_clips(2, 256)
            asked = await shop.send(key, clips, name="work-0001")
            free = await shop.spent(key)
            document = asked.json()
            proof, _ = solve(document["challenge"], document["bits"])
            header = {"Earshot-Proof": proof}
            paid = await shop.send(key, clips, name="work-0001", **header)
            again = await shop.send(key, clips, name="work-0001")
            refused = [
                await shop.send(key, clips, name="work-0002", **header),
                await shop.send(key, make_clips(2, 256, seed=9), name="work-0001", **header),
                await shop.send(other, clips, name="work-0001", **header),
            ]
            return asked, free, paid, again, refused, await shop.spent(key)

    asked, free, paid, again, refused, spent = asyncio.run(story())
    assert (asked.status_code, asked.json()["code"]) == (428, "proof-required")
    assert (asked.json()["bits"], free) == (6, 0)
    assert (paid.status_code, again.status_code) == (200, 200)
    assert again.content == paid.content
    assert again.headers["Idempotency-Replayed"] == "true"
    codes = [response.json()["code"] for response in refused]
    assert codes == ["proof-required", "key-reused", "proof-required"]
    assert spent == 2


def test_the_work_of_a_cheap_plan_does_not_pay_on_a_dear_one(tmp_path):
    chains = {"cheap": (ProofOfWorkSpec(bits=1),), "dear": (ProofOfWorkSpec(bits=9),)}
    plans = {
        name: Plan(name=name, label_mode="soft", budget=100, defences=chain)
        for name, chain in chains.items()
    }

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            cheap, dear = await shop.key("cheap"), await shop.key("dear")
            asked = (await shop.send(cheap, 1, name="work-0001")).json()
            # As much work as the dear plan asks for: it was done for another sale.
            proof, _ = solve(asked["challenge"], 9)
            header = {"Earshot-Proof": proof}
            refused = await shop.send(dear, 1, name="work-0001", **header)
            proof, _ = solve(refused.json()["challenge"], 9)
            paid = await shop.send(dear, 1, name="work-0001", **{"Earshot-Proof": proof})
            return refused, paid, await shop.spent(cheap), await shop.spent(dear)

    refused, paid, *spent = asyncio.run(story())
    assert (refused.status_code, refused.json()["code"]) == (428, "proof-required")
    assert refused.json()["bits"] == 9
    assert (paid.status_code, spent) == (200, [0, 1])


def test_a_clip_without_a_name_is_told_the_name_to_come_back_with(tmp_path):
    async def story():
        async with open_shop(tmp_path, plans=working_plan(bits=3)) as shop:
            key = await shop.key()
            asked = await shop.post_wav(key)
            proof, _ = solve(asked.json()["challenge"], asked.json()["bits"])
            name = asked.headers["idempotency-key"]
            return await shop.post_wav(key, **{"idempotency-key": name, "earshot-proof": proof})

    assert asyncio.run(story()).status_code == 200


def test_the_service_asks_more_of_an_account_that_learnt_too_much(tmp_path):
    plans = working_plan(bits=3, base=2.0, per_clip=0.0, allowance=0.0, most_bits=8)

    async def story():
        async with open_shop(tmp_path, plans=plans) as shop:
            key = await shop.key()
            told = []
            for leakage in (0.0, 2.0, 100.0):
                state = AccountState(queries=1, leakage=leakage)
                await shop.ledger.set_account_state("alice", state.text)
                told.append((await shop.send(key, 1)).json()["bits"])
            return told

    assert asyncio.run(story()) == [3, 5, 8]
