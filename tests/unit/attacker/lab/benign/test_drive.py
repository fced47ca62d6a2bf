"""Honest traffic against a victim in this process: what is sent, answered, refused and lost."""

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from attacker.errors import BudgetExhausted, OracleError, VictimUnreachable
from attacker.lab.benign.drive import Buyer, Driven, Traffic, drive, undefended
from attacker.lab.benign.loss import latencies, quality, windows_by_detector
from shared.contract import DetectorReading
from shared.honest.single_speaker import SingleSpeakerSpec
from tests.support import lab_world
from tests.support.fake_oracle import FakeOracle

USER = SingleSpeakerSpec().build(lab_world.bundle(), 0)
FAST = Traffic(clips=90, rate_per_s=5000, batch_clips=4)


@dataclass
class SlowOracle(FakeOracle):
    """Takes its time with every clip, or never answers."""

    delay_s: float = 0.0
    arrived: list[float] = field(default_factory=list)

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        self.arrived.append(time.monotonic())
        await asyncio.sleep(self.delay_s)
        return await super().classify(clips, key)


def carry_out(victim: FakeOracle, traffic: Traffic = FAST) -> tuple[Driven, Buyer, Buyer]:
    buyer, base = Buyer(victim), Buyer(FakeOracle())
    return asyncio.run(drive(USER, traffic, buyer, base, run="trial-one")), buyer, base


def test_every_clip_is_sent_once_under_both_plans_and_answers_keep_their_order() -> None:
    victim = FakeOracle()
    driven, buyer, base = carry_out(victim)
    clips, truth = USER.clips(np.arange(90))
    assert victim.spent == 90
    assert len(victim.sent) == len(set(victim.sent)) == 23
    assert driven.answered.all()
    assert np.array_equal(driven.answers, victim.answers(clips))
    assert np.array_equal(driven.truth, truth)
    assert len(buyer.latencies_s) == len(base.latencies_s) == 23


def test_a_budget_that_ends_costs_the_clips_that_are_left() -> None:
    victim = FakeOracle(budget=42)
    driven, buyer, base = carry_out(victim)
    assert victim.spent == 42
    assert driven.answered.sum() == len(driven.answers) == 42
    assert buyer.given_up == {BudgetExhausted.code: 48}
    assert not base.given_up
    clips, _ = USER.clips(np.flatnonzero(driven.answered))
    assert np.array_equal(driven.answers, victim.answers(clips))


def test_patience_ends_and_is_counted() -> None:
    driven, buyer, _ = carry_out(SlowOracle(delay_s=30), Traffic(6, 5000, 2, patience_s=0.05))
    assert not driven.answered.any()
    assert buyer.given_up == {"patience": 6}
    assert quality(driven, np.zeros((0, 4)), 4)["accuracy"] is None
    assert latencies(buyer, Buyer(FakeOracle()))["p50_ms"] is None


def test_arrivals_do_not_wait_for_answers() -> None:
    victim = SlowOracle(delay_s=0.5)
    carry_out(victim, Traffic(clips=20, rate_per_s=200))
    assert victim.arrived[-1] - victim.arrived[0] < 2  # one after the other would take 10 s


def test_the_rate_is_the_one_that_was_asked_for() -> None:
    victim = SlowOracle()
    carry_out(victim, Traffic(clips=120, rate_per_s=120))
    assert victim.arrived[-1] - victim.arrived[0] == pytest.approx(1.0, rel=0.5)


def test_a_victim_that_is_gone_is_an_error_and_no_refusal() -> None:
    class Gone(FakeOracle):
        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            raise VictimUnreachable("gone")

    with pytest.raises(VictimUnreachable):
        carry_out(Gone())


def test_the_model_itself_is_asked_off_the_budget_only() -> None:
    queries = np.array([1, 5, 80])
    found = asyncio.run(undefended(FakeOracle(), USER, queries, "trial"))
    assert np.array_equal(found, FakeOracle().answers(USER.clips(queries)[0]))
    for metered in (FakeOracle(budget=100), FakeOracle(label_mode="hard")):
        with pytest.raises(OracleError, match="--scope audit"):
            asyncio.run(undefended(metered, USER, queries, "trial"))


def test_quality_compares_with_truth_and_with_the_model() -> None:
    driven = Driven(np.array([True, False, True]), np.array([0, 1]), np.array([0, 2, 0]))
    model = np.array([[0.75, 0.25, 0.0], [0.5, 0.25, 0.25]])
    found = quality(driven, model, 3)
    assert found["accuracy"] == 0.5
    assert found["victim_accuracy"] == 1.0
    assert found["ece"] == pytest.approx(0.5)
    assert found["l1"] == pytest.approx((0.5 + 1.5) / 2)


def test_windows_are_counted_by_detector() -> None:
    facts = {"id": "1", "at": 0.0, "query": 50, "score": 1.0, "threshold": 0.5}
    readings = [
        DetectorReading(**facts, detector="seat", alarm=True),
        DetectorReading(**facts, detector="prada", alarm=False),
        DetectorReading(**facts, detector="seat", alarm=False),
    ]
    assert windows_by_detector(readings) == {"prada": (1, 0), "seat": (2, 1)}
    assert windows_by_detector([]) == {}
