"""Campaigns against a victim in this process: order, barriers, money, and every crash."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from attacker.campaign import Campaign, CampaignSettings, End, Progress, iteration_ends
from attacker.errors import MaterialChanged, RateLimited, VictimUnreachable
from attacker.journal import PLANNED, Journal, Rows
from attacker.samplers import Sampler, SamplerContext
from attacker.samplers.keep_all import KeepAllSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.sources import Source, SourceContext
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from shared.audio import to_int16
from shared.contract import LabelMode
from tests.support.fake_oracle import RATE_HZ, SAMPLES, FakeOracle

SETTINGS = CampaignSettings(100, 3, batch_clips=8, in_flight=4)
IDENTITY = {"n_classes": 4, "label_mode": "soft"}


@dataclass
class Watch:
    """A listener that remembers."""

    seen: list[Progress] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)

    def note(self, text: str) -> None:
        self.notes.append(text)


def no_proxy() -> Any:
    raise AssertionError("noise needs no corpus")


def noise(seed: int = 0) -> Source:
    return GaussianNoiseSpec().build(SourceContext(RATE_HZ, SAMPLES, seed, no_proxy))


def threshold(tau: int | None = None) -> Sampler:
    spec = KeepAllSpec() if tau is None else StaticThresholdSpec(tau=tau)
    return spec.build(SamplerContext(4))


@dataclass
class Bench:
    """A campaign that can be run again and again over one folder."""

    folder: Path
    oracle: FakeOracle = field(default_factory=FakeOracle)
    settings: CampaignSettings = SETTINGS
    tau: int | None = 20
    seed: int = 0
    watch: Watch = field(default_factory=Watch)
    identity: dict[str, Any] = field(default_factory=lambda: IDENTITY)

    def run(self, wrap: Callable[[Journal], Any] = lambda journal: journal) -> End:
        journal = Journal.open(self.folder, self.identity)
        try:
            campaign = Campaign(
                self.settings,
                noise(self.seed),
                threshold(self.tau),
                wrap(journal),
                self.oracle,
                self.watch,
            )
            return asyncio.run(campaign.run())
        finally:
            journal.close()

    def rows(self) -> Rows:
        journal = Journal.read(self.folder)
        try:
            return journal.rows()
        finally:
            journal.close()


def naive(oracle: FakeOracle, budget: int, tau: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All labels and decisions, one clip at a time in query order."""
    clips = to_int16(noise().render(np.arange(budget)))
    labels = oracle.answers(clips).argmax(axis=1)
    counts = np.zeros(4, dtype=int)
    kept = []
    for label in labels:
        kept.append(tau is None or counts[label] < tau)
        counts[label] += kept[-1]
    return labels, np.array(kept)


@pytest.mark.parametrize("in_flight", [1, 3, 8])
@pytest.mark.parametrize("batch_clips", [1, 7, 64])
def test_the_transfer_set_is_that_of_algorithm_1_whatever_the_timing(
    tmp_path: Path, in_flight: int, batch_clips: int
) -> None:
    settings = CampaignSettings(100, 3, batch_clips=batch_clips, in_flight=in_flight)
    bench = Bench(tmp_path, settings=settings)
    assert bench.run() == "budget-spent"
    labels, kept = naive(bench.oracle, 100, tau=20)
    rows = bench.rows()
    assert rows.indices.tolist() == list(range(100))
    assert rows.labels.tolist() == labels.tolist()
    assert rows.kept.tolist() == kept.tolist()
    assert bench.oracle.spent == 100
    assert bench.watch.seen[-1].counts.observed == 100


@pytest.mark.parametrize("label_mode", get_args(LabelMode))
def test_what_every_label_mode_answers_is_kept_as_it_came(
    tmp_path: Path, label_mode: LabelMode
) -> None:
    oracle = FakeOracle(label_mode=label_mode, top_k=2 if label_mode == "top_k" else None)
    bench = Bench(tmp_path, oracle, identity={**IDENTITY, "label_mode": label_mode})
    assert bench.run() == "budget-spent"
    answers = oracle.answers(to_int16(noise().render(np.arange(100))))
    assert np.array_equal(bench.rows().answers, answers)
    soft = FakeOracle().answers(to_int16(noise().render(np.arange(100))))
    assert bench.rows().labels.tolist() == soft.argmax(axis=1).tolist()


def test_several_requests_are_in_flight_and_answers_come_out_of_order(tmp_path: Path) -> None:
    class Watched(FakeOracle):
        running = most = 0
        done: list[str]

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            self.running += 1
            self.most = max(self.most, self.running)
            for _ in range(2000 if self.most < 4 else 0):  # the fourth request lets all go on
                await asyncio.sleep(0.001)
                if self.most == 4:
                    break
            await asyncio.sleep(0.1 if key.endswith("-0") else 0)
            try:
                return await super().classify(clips, key)
            finally:
                self.running -= 1
                self.done.append(key)

    oracle = Watched()
    oracle.done = []
    bench = Bench(tmp_path, oracle, CampaignSettings(200, 1, batch_clips=8, in_flight=4))
    bench.run()
    assert oracle.most == 4
    assert not oracle.done[0].endswith("-0")


def test_an_iteration_is_planned_when_the_one_before_was_observed(tmp_path: Path) -> None:
    class Patient(FakeOracle):
        """Answers nothing before three batches were sent, so that planning outruns answering."""

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            self.sent_thrice = getattr(self, "sent_thrice", asyncio.Event())
            if len(self.sent) >= 2:
                self.sent_thrice.set()
            answers = await super().classify(clips, key)
            await self.sent_thrice.wait()
            return answers

    bench = Bench(tmp_path, Patient())
    first_of_second = iteration_ends(100, 3)[0]
    observed_at_plan: dict[int, int] = {}

    def spy(journal: Journal) -> Journal:
        plan = journal.plan

        def planned(**facts: Any) -> Any:
            observed_at_plan[facts["first_index"]] = journal.counts().observed
            return plan(**facts)

        journal.plan = planned  # type: ignore[method-assign]
        return journal

    bench.run(spy)
    assert iteration_ends(100, 3) == [33, 66, 100]
    assert observed_at_plan[first_of_second] == 33
    assert observed_at_plan[66] == 66
    assert observed_at_plan[16] == 0  # within an iteration, several are in flight


def test_caps_that_are_met_end_the_campaign_at_an_iteration_boundary(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeOracle(skew=0), tau=3)
    assert bench.run() == "caps-met"
    assert bench.oracle.spent == 33
    assert bench.rows().kept.sum() == 12
    assert bench.run() == "caps-met"
    assert bench.oracle.spent == 33


def test_resuming_inside_an_iteration_buys_the_rest_of_it_even_if_caps_are_met(
    tmp_path: Path,
) -> None:
    settings = CampaignSettings(100, 3, batch_clips=4, in_flight=1)
    bench = Bench(tmp_path, FakeOracle(skew=0), settings, tau=1)
    with pytest.raises(Crash):
        bench.run(lambda journal: Crashing(journal, at=32))
    journal = Journal.read(tmp_path)
    kept, planned = journal.counts().kept, journal.counts().planned
    journal.close()
    assert kept == 4
    assert planned < 33
    assert bench.run() == "caps-met"
    assert bench.oracle.spent == 33


class Crash(BaseException):
    """The process dies here. Not an Exception, so that nothing mistakes it for one."""


class Crashing:
    """A journal that dies at a step: before step ``at / 2`` if ``at`` is even, else after it."""

    STEPS = ("plan", "answer", "observe", "end")

    def __init__(self, journal: Journal, at: int) -> None:
        self._journal, self._left = journal, at

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)
        if name not in self.STEPS:
            return method

        def step(*args: Any, **kwargs: Any) -> Any:
            if self._left <= 0:
                raise Crash  # and whatever comes later: the dead do nothing more
            self._left -= 1
            result = method(*args, **kwargs)
            if self._left == 0:
                raise Crash
            self._left -= 1
            return result

        return step


def test_a_crash_between_any_two_steps_costs_nothing(tmp_path: Path) -> None:
    settings = CampaignSettings(40, 3, batch_clips=8, in_flight=3)
    whole = Bench(tmp_path / "whole", settings=settings)
    whole.run()
    expected = whole.rows().transfer_sha256()
    for at in range(200):
        bench = Bench(tmp_path / str(at), FakeOracle(slow=False), settings)
        try:
            bench.run(lambda journal, at=at: Crashing(journal, at))
        except Crash:
            assert bench.run() == "budget-spent"
        else:
            break
        assert bench.oracle.spent == 40
        assert bench.rows().transfer_sha256() == expected
        assert bench.rows().indices.tolist() == list(range(40))
    # Six batches of three steps each, and the two ends, before and after each: all were tried.
    assert at == 2 * (6 * 3 + 2)


def test_a_full_disk_does_not_confuse_the_sampler(tmp_path: Path) -> None:
    whole, bench = Bench(tmp_path / "whole"), Bench(tmp_path / "full")
    whole.run()

    def fill(journal: Journal) -> Journal:
        observe, calls = journal.observe, iter(range(1000))

        def full_at_the_third(*args: Any) -> None:
            if next(calls) == 2:
                raise sqlite3.OperationalError("database or disk is full")
            observe(*args)

        journal.observe = full_at_the_third  # type: ignore[method-assign]
        return journal

    with pytest.raises(sqlite3.OperationalError):
        bench.run(fill)
    assert bench.run() == "budget-spent"
    assert bench.oracle.spent == 100
    assert bench.rows().transfer_sha256() == whole.rows().transfer_sha256()


def test_crashes_one_after_the_other_still_end_in_the_same_set(tmp_path: Path) -> None:
    whole, bench = Bench(tmp_path / "whole"), Bench(tmp_path / "broken")
    whole.run()
    deaths = 0
    for at in (3, 8, 5, 14, 9, 21, 6, 30, 11, 40):
        try:
            bench.run(lambda journal, at=at: Crashing(journal, at))
        except Crash:
            deaths += 1
    bench.run()
    assert deaths > 5
    assert bench.oracle.spent == 100
    assert bench.rows().transfer_sha256() == whole.rows().transfer_sha256()


def test_planned_batches_are_sent_again_with_the_same_key_and_bytes(tmp_path: Path) -> None:
    class Silent(FakeOracle):
        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            await super().classify(clips, key)
            raise VictimUnreachable("the answer was lost. Resume.")

    silent = Silent()
    with pytest.raises(VictimUnreachable):
        Bench(tmp_path, silent).run()
    assert silent.spent > 0
    journal = Journal.read(tmp_path)
    in_doubt = [batch.key for batch in journal.batches(PLANNED)]
    journal.close()
    oracle = FakeOracle(charged=silent.charged)
    bench = Bench(tmp_path, oracle)
    assert bench.run() == "budget-spent"
    assert oracle.sent[: len(in_doubt)] == in_doubt
    assert oracle.spent == 100


def test_material_that_changed_under_the_same_name_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        Bench(tmp_path).run(lambda journal: Crashing(journal, at=3))
    other = Bench(tmp_path, seed=1)
    with pytest.raises(MaterialChanged, match="start anew"):
        other.run()
    assert other.oracle.sent == []


def test_the_account_that_holds_less_caps_the_campaign_with_a_warning(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeOracle(budget=45))
    assert bench.run() == "account-exhausted"
    assert bench.oracle.spent == 45
    assert len(bench.rows().labels) == 45
    (note,) = [note for note in bench.watch.notes if "45 clips left" in note]
    assert note.endswith("ask for a key with a larger one, or run a smaller experiment.")


def test_a_larger_account_lets_the_campaign_go_on(tmp_path: Path) -> None:
    whole, bench = Bench(tmp_path / "whole"), Bench(tmp_path / "b", FakeOracle(budget=45))
    whole.run()
    bench.run()
    bench.oracle.budget = 1000
    assert bench.run() == "budget-spent"
    assert bench.oracle.spent == 100
    assert bench.rows().transfer_sha256() == whole.rows().transfer_sha256()


class Shared(FakeOracle):
    """An account that somebody else drains: it promises more than it will grant."""

    async def account(self) -> Any:
        status = await super().account()
        return status.model_copy(update={"remaining": 10_000})


def test_a_budget_that_ends_in_mid_campaign_keeps_all_that_was_bought(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Shared(budget=50), CampaignSettings(100, 1, 8, 4), tau=None)
    assert bench.run() == "account-exhausted"
    assert bench.oracle.spent == len(bench.rows().labels) == 50
    assert any("buys no more" in note for note in bench.watch.notes)
    journal = Journal.read(tmp_path)
    assert journal.ended == "account-exhausted"
    journal.close()


def test_what_was_bought_behind_a_refused_batch_is_kept_as_well(tmp_path: Path) -> None:
    class Choosy(Shared):
        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            if key.endswith("-2"):
                await asyncio.sleep(0.05)  # the next one is on its way
            self.budget = self.spent if key.endswith("-2") else None
            return await super().classify(clips, key)

    bench = Bench(tmp_path, Choosy(), CampaignSettings(40, 1, 8, 4), tau=None)
    assert bench.run() == "account-exhausted"
    rows = bench.rows()
    assert bench.oracle.spent == len(rows.labels)
    assert 16 not in rows.indices
    assert rows.indices.max() >= 24
    richer = Bench(tmp_path, FakeOracle(charged=bench.oracle.charged), bench.settings, tau=None)
    assert richer.run() == "budget-spent"
    assert sorted(richer.rows().indices.tolist()) == list(range(40))
    assert richer.oracle.spent == 40


@dataclass
class OfADay(FakeOracle):
    """A plan that sells ``daily`` clips, and wants to be asked again in 14 hours."""

    daily: int = 50

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        if key not in self.charged and self.spent + len(clips) > self.daily:
            self.sent.append(key)
            raise RateLimited("the day's clips are sold", retry_after_s=51_840.0)
        return await super().classify(clips, key)


def test_a_plan_that_sells_no_more_today_ends_the_campaign_until_it_does(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OfADay(), CampaignSettings(100, 1, 8, 4), tau=None)
    assert bench.run() == "out-of-patience"
    rows = bench.rows()
    assert bench.oracle.spent == len(rows.labels) == 48
    (note,) = [note for note in bench.watch.notes if "sells no more" in note]
    assert "for 14 h 24 min, until 2" in note
    assert note.endswith("or with a longer --patience-s, which waits for it.")
    journal = Journal.read(tmp_path)
    assert journal.ended == "out-of-patience"
    journal.close()

    assert bench.run() == "out-of-patience"  # too early: nothing more is sold, or paid
    assert bench.oracle.spent == len(bench.rows().labels) == 48
    tomorrow = Bench(tmp_path, FakeOracle(charged=bench.oracle.charged), bench.settings, tau=None)
    assert tomorrow.run() == "budget-spent"
    assert tomorrow.oracle.spent == 100
    assert sorted(tomorrow.rows().indices.tolist()) == list(range(100))
    whole = Bench(tmp_path / "whole", FakeOracle(), bench.settings, tau=None)
    whole.run()
    assert tomorrow.rows().transfer_sha256() == whole.rows().transfer_sha256()


def test_an_interruption_abandons_requests_and_resumes(tmp_path: Path) -> None:
    whole, bench = Bench(tmp_path / "whole"), Bench(tmp_path / "b")
    whole.run()

    async def interrupted() -> None:
        journal = Journal.open(bench.folder, IDENTITY)
        try:
            campaign = Campaign(
                bench.settings, noise(), threshold(20), journal, bench.oracle, bench.watch
            )
            task = asyncio.create_task(campaign.run())
            while len(bench.oracle.sent) < 6:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}
        finally:
            journal.close()

    asyncio.run(interrupted())
    assert bench.run() == "budget-spent"
    assert bench.oracle.spent == 100
    assert bench.rows().transfer_sha256() == whole.rows().transfer_sha256()


@pytest.mark.parametrize(
    ("budget", "iterations", "ends"), [(10, 1, [10]), (10, 3, [3, 6, 10]), (5, 5, [1, 2, 3, 4, 5])]
)
def test_the_budget_is_split_evenly_and_the_last_takes_the_rest(
    budget: int, iterations: int, ends: list[int]
) -> None:
    assert iteration_ends(budget, iterations) == ends
