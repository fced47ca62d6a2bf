"""The client's work: proofs are worth what they say, cost what they should, and have an end."""

import asyncio
import math
import threading
from typing import Any

import httpx
import numpy as np
import pytest

from attacker import proof
from attacker.errors import ProofRequired, ProofTooHard
from attacker.http_oracle import HttpOracle
from shared.audio import to_npy
from shared.contract import MODEL_PATH, NPY_MEDIA_TYPE, PROOF_HEADER
from shared.errors import PROBLEM_MEDIA_TYPE, PROBLEMS
from shared.proof import split, worth

CARD = {
    "labels": ["a", "b"],
    "sample_rate_hz": 4000,
    "clip_samples": 8,
    "label_mode": "soft",
    "checkpoint": "c",
    "max_batch_clips": 64,
}
CLIPS = np.zeros((2, 8), np.int16)
ROWS = np.array([[0.5, 0.5], [1, 0]], np.float32)


class Asking:
    """A victim that answers a proof of ``bits`` bits and refuses the first ``stubborn`` of them."""

    def __init__(self, bits: int, stubborn: int = 0) -> None:
        self.bits, self.stubborn = bits, stubborn
        self.proofs: list[str] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == MODEL_PATH:
            return httpx.Response(200, json=CARD)
        given = request.headers.get(PROOF_HEADER)
        if given is not None:
            self.proofs.append(given)
            parts = split(given)
            assert parts is not None
            if worth(*parts) >= self.bits and len(self.proofs) > self.stubborn:
                headers = {"Content-Type": NPY_MEDIA_TYPE}
                return httpx.Response(200, headers=headers, content=to_npy(ROWS))
        row = PROBLEMS["proof-required"]
        facts: dict[str, Any] = {"type": row.type_uri, "title": row.title, "detail": "d"}
        facts |= {"status": row.status, "code": row.code, "bits": self.bits}
        facts["challenge"] = f"challenge-{len(self.proofs)}"
        headers = {"Content-Type": PROBLEM_MEDIA_TYPE}
        return httpx.Response(row.status, headers=headers, json=facts)


def ask(victim: Asking, **options: Any) -> tuple[HttpOracle, np.ndarray, list[Any]]:
    events: list[Any] = []

    async def run() -> tuple[HttpOracle, np.ndarray]:
        oracle = HttpOracle(
            "http://victim",
            "key",
            transport=httpx.MockTransport(victim.handle),
            on_event=lambda name, facts: events.append((name, facts)),
            **options,
        )
        async with oracle:
            return oracle, await oracle.classify(CLIPS, "some-name")

    oracle, answers = asyncio.run(run())
    return oracle, answers, events


@pytest.mark.parametrize("bits", [0, 1, 7, 12])
def test_a_proof_is_worth_what_was_asked(bits: int) -> None:
    solved = proof.solve("some-challenge", bits)
    parts = split(solved.proof)
    assert parts is not None
    assert parts[0] == "some-challenge"
    assert worth(*parts) >= bits
    assert (solved.work.proofs, solved.work.hashes) == (1, int(parts[1]) + 1)
    assert solved.work.seconds > 0


def test_the_mean_of_the_hashes_is_two_to_the_bits() -> None:
    took = [proof.solve(f"c{n}", 6).work.hashes for n in range(800)]
    assert abs(np.mean(took) - 64) < 4 * 64 / math.sqrt(len(took))


def test_a_proof_that_asks_too_much_is_not_begun() -> None:
    with pytest.raises(ProofTooHard, match=r"40 bits.*Ask for smaller batches"):
        proof.solve("c", 40)
    with pytest.raises(ProofTooHard, match="9 bits"):
        proof.solve("c", 9, most_bits=8)


def test_a_search_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ProofTooHard, match="stopped"):
        proof.solve("c", 24, stop=stop)


def test_the_client_works_and_counts_what_it_took() -> None:
    oracle, answers, events = ask(Asking(8))
    assert np.array_equal(answers, ROWS)
    assert [name for name, _ in events] == ["proof"]
    assert events[0][1]["bits"] == 8
    assert oracle.work.proofs == 1
    assert oracle.work.hashes == events[0][1]["hashes"] >= 1
    assert oracle.work.seconds > 0


def test_a_challenge_that_expired_is_answered_anew_but_not_for_ever() -> None:
    patient = Asking(4, stubborn=3)
    oracle, answers, _ = ask(patient)
    assert np.array_equal(answers, ROWS)
    assert oracle.work.proofs == len(patient.proofs) == 4
    with pytest.raises(ProofRequired):
        ask(endless := Asking(4, stubborn=1000))
    assert len(endless.proofs) == 5


def test_the_client_refuses_what_is_too_hard() -> None:
    victim = Asking(12)
    with pytest.raises(ProofTooHard):
        ask(victim, most_bits=11)
    assert victim.proofs == []
