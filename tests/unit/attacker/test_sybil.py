"""Several accounts: who buys what, and that a batch stays with the account that paid for it."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacker.campaign import Campaign, CampaignSettings, End
from attacker.commands.options import read_keys
from attacker.dealing import Spread, shares
from attacker.errors import (
    AccountSuspended,
    BatchExceedsBurst,
    ExperimentError,
    ProofTooHard,
    RateLimited,
    VictimUnreachable,
)
from attacker.journal import Journal
from attacker.samplers import SamplerContext
from attacker.samplers.keep_all import KeepAllSpec
from attacker.sources import SourceContext
from attacker.sources.gaussian_noise import GaussianNoiseSpec
from attacker.sybil import SybilOracle, account_in, as_one, demand_keys, suffixes
from shared.contract import AccountStatus
from tests.support.fake_oracle import RATE_HZ, SAMPLES, FakeOracle

IDENTITY = {"n_classes": 4, "label_mode": "soft", "accounts": ["a", "b", "c"]}


class Silent:
    """A listener who hears nothing."""

    def progress(self, progress: object) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Named(FakeOracle):
    """A victim that knows its customer."""

    name: str = "alice"
    rate_per_s: float | None = None

    async def account(self) -> AccountStatus:
        status = await super().account()
        return status.model_copy(update={"account": self.name, "rate_per_s": self.rate_per_s})


def customers(*names: str, budget: int | None = None) -> list[Named]:
    found = []
    for name in names:
        found.append(Named(budget=budget))
        found[-1].name = name
    return found


def settings(
    spread: Spread, budget: int = 100, batch_clips: int = 8, in_flight: int = 4, accounts: int = 3
) -> CampaignSettings:
    return CampaignSettings(budget, 1, batch_clips, in_flight, accounts=accounts, spread=spread)


def run(
    folder: Path,
    oracle: SybilOracle,
    how: CampaignSettings,
    identity: dict[str, Any] = IDENTITY,
) -> End:
    source = GaussianNoiseSpec().build(
        SourceContext(RATE_HZ, SAMPLES, 0, open_proxy=lambda: pytest.fail("no proxy"))
    )
    journal = Journal.open(folder, identity)
    try:
        sampler = KeepAllSpec().build(SamplerContext(4))
        return asyncio.run(Campaign(how, source, sampler, journal, oracle, Silent()).run())
    finally:
        journal.close()


def test_a_key_names_its_account() -> None:
    assert [account_in(f"c0ffee-12{end}") for end in suffixes(64)] == list(range(64))
    assert suffixes(1) == ("",)
    assert account_in("c0ffee-12") == 0


@pytest.mark.parametrize("spread", ["in_turn", "contiguous"])
def test_accounts_share_a_budget_to_the_clip(spread: Spread, tmp_path: Path) -> None:
    accounts = customers("a", "b", "c")
    for account, share in zip(accounts, shares(100, 3), strict=True):
        account.budget = share
    assert run(tmp_path, SybilOracle(accounts), settings(spread)) == "budget-spent"
    assert [account.spent for account in accounts] == [34, 33, 33]
    first = [account_in(key) for key in accounts[1].sent]
    assert set(first) == {1}
    journal = Journal.read(tmp_path)
    rows = journal.rows()
    journal.close()
    assert rows.indices.tolist() == list(range(100))
    assert rows.kept.all()


def test_contiguous_shares_are_runs_of_queries(tmp_path: Path) -> None:
    accounts = customers("a", "b", "c")
    run(tmp_path, SybilOracle(accounts), settings("contiguous"))
    journal = Journal.read(tmp_path)
    bought = [account_in(batch.key) for batch in journal.batches("OBSERVED")]
    journal.close()
    assert bought == sorted(bought)


@pytest.mark.parametrize("spread", ["in_turn", "contiguous"])
def test_a_lost_answer_is_asked_of_the_account_that_paid(spread: Spread, tmp_path: Path) -> None:
    class Flaky(Named):
        """Charges, and loses the fourth answer."""

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            fourth = len(self.sent) == 3
            answers = await super().classify(clips, key)
            if fourth:
                raise VictimUnreachable("lost")
            return answers

    accounts = customers("a", "b", "c")
    flaky = Flaky()
    flaky.name = "b"
    accounts[1] = flaky
    with pytest.raises(VictimUnreachable):
        run(tmp_path, SybilOracle(accounts), settings(spread))
    # Resumed with larger batches and the other spread: what was planned stays where it was.
    other: Spread = "in_turn" if spread == "contiguous" else "contiguous"
    assert run(tmp_path, SybilOracle(accounts), settings(other, batch_clips=16)) == "budget-spent"
    assert sum(account.spent for account in accounts) == 100
    keys = [key for account in accounts for key in account.charged]
    assert len(keys) == len(set(keys))
    assert len(flaky.sent) > len(set(flaky.sent)), "no batch was sent twice: nothing was tested"


def test_together_they_have_what_all_have() -> None:
    accounts = customers("a", "b", budget=50)
    for account in accounts:
        account.burst = 20
        account.rate_per_s = 5
    accounts[1].burst = 10
    status = asyncio.run(SybilOracle(accounts).account())
    assert (status.budget, status.remaining, status.burst, status.rate_per_s) == (100, 100, 10, 10)
    accounts[0].budget = None
    assert asyncio.run(SybilOracle(accounts).account()).remaining is None


def test_a_campaign_ends_where_an_account_buys_no_more(tmp_path: Path) -> None:
    accounts = customers("a", "b", "c", budget=20)
    how = settings("in_turn", budget=90, batch_clips=10)
    assert run(tmp_path, SybilOracle(accounts), how) == "account-exhausted"
    assert [account.spent for account in accounts] == [20, 20, 20]


class Stopped(Named):
    """Is sold ``most`` clips, and is then refused for good, or for longer than anyone waits."""

    most: int = 10**9
    for_good: bool = True
    sold: Mapping[str, int] = {}

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        sold = {**self.sold, key: len(clips)}
        if key not in self.charged and sum(sold.values()) > self.most:
            self.sent.append(key)
            raise AccountSuspended("watched") if self.for_good else RateLimited(retry_after_s=9e9)
        self.sold = sold  # before it waits: others may be on their way
        return await super().classify(clips, key)


def stopped(*most: int, for_good: bool = True) -> list[Stopped]:
    found = []
    for number, clips in enumerate(most):
        found.append(Stopped())
        found[-1].name, found[-1].most, found[-1].for_good = f"s{number}", clips, for_good
    return found


@pytest.mark.parametrize("spread", ["in_turn", "contiguous"])
def test_the_others_go_on_when_one_account_is_suspended(spread: Spread, tmp_path: Path) -> None:
    accounts = stopped(16, 34, 34)
    how = settings(spread, budget=102)
    assert run(tmp_path, SybilOracle(accounts), how) == "account-exhausted"
    assert [account.spent for account in accounts] == [16, 34, 34]
    journal = Journal.read(tmp_path)
    rows, keys = journal.rows(), [batch.key for batch in journal.batches("OBSERVED")]
    journal.close()
    assert rows.indices.tolist() == list(range(84)), "a clip of the refused batch was left out"
    assert sorted(keys) == sorted(key for account in accounts for key in account.charged)

    # Suspended still: asked once more each time, and nothing is bought or charged.
    assert run(tmp_path, SybilOracle(accounts), how) == "account-exhausted"
    assert [account.spent for account in accounts] == [16, 34, 34]
    accounts[0].most = 34  # the operator lifts it: the account buys what is left of its share
    assert run(tmp_path, SybilOracle(accounts), how) == "budget-spent"
    assert [account.spent for account in accounts] == [34, 34, 34]


def test_a_sybil_ends_when_all_its_accounts_are_suspended(tmp_path: Path) -> None:
    accounts = stopped(16, 8, 0)
    assert run(tmp_path, SybilOracle(accounts), settings("in_turn")) == "account-exhausted"
    assert [account.spent for account in accounts] == [16, 8, 0]


@pytest.mark.parametrize("for_good", [True, False])
def test_it_ends_as_whoever_can_still_be_waited_for(for_good: bool, tmp_path: Path) -> None:
    accounts = [*stopped(8, 8), *stopped(8, for_good=for_good)]
    accounts[2].name = "c"
    end = "account-exhausted" if for_good else "out-of-patience"
    assert run(tmp_path, SybilOracle(accounts), settings("in_turn")) == end
    assert [account.spent for account in accounts] == [8, 8, 8]


def test_budgets_need_not_be_equal(tmp_path: Path) -> None:
    accounts = customers("a", "b", "c")
    for account, budget in zip(accounts, (10, 30, 40), strict=True):
        account.budget = budget
    how = settings("in_turn", budget=90, batch_clips=10)
    assert run(tmp_path, SybilOracle(accounts), how) == "account-exhausted"
    assert [account.spent for account in accounts] == [10, 30, 30]


def test_a_crash_after_a_batch_was_passed_on_pays_once(tmp_path: Path) -> None:
    class Lost(Stopped):
        """Charges for what was another's, and loses the answer."""

        lost: bool = False

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            answers = await super().classify(clips, key)
            if not self.lost and any(key[:-1] == other[:-1] for other in accounts[0].sent):
                self.lost = True
                raise VictimUnreachable("lost")
            return answers

    accounts = stopped(16, 34, 34)
    for number in (1, 2):
        accounts[number] = Lost()
        accounts[number].name = f"l{number}"
    how = settings("in_turn", budget=102)
    for _ in range(3):
        with contextlib.suppress(VictimUnreachable):
            end = run(tmp_path, SybilOracle(accounts), how)
    assert end == "account-exhausted"
    assert any(isinstance(account, Lost) and account.lost for account in accounts)
    assert [account.spent for account in accounts] == [16, 34, 34]
    numbers = [key.rsplit("-a")[0] for account in accounts for key in account.charged]
    assert len(numbers) == len(set(numbers)), "a batch was paid twice"


@pytest.mark.parametrize("for_good", [True, False])
def test_what_may_be_paid_is_left_with_the_account_that_paid(
    for_good: bool, tmp_path: Path
) -> None:
    class Losing(Stopped):
        """Charges its second batch, loses the answer, and sells no more: no replay either."""

        asked: int = 0

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            self.asked += 1  # before it waits: others may be on their way
            last = self.asked == 2
            if self.asked > 2:
                self.sent.append(key)
                raise AccountSuspended if self.for_good else RateLimited(retry_after_s=9e9)
            answers = await super().classify(clips, key)
            if last:
                raise VictimUnreachable("lost")
            return answers

    losing = Losing()
    losing.name, losing.for_good = "a", for_good
    accounts = [losing, *stopped(10**6, 10**6)]
    how = settings("in_turn", budget=102)
    with pytest.raises(VictimUnreachable):
        run(tmp_path, SybilOracle(accounts), how)
    end = run(tmp_path, SybilOracle(accounts), how)
    assert end == ("account-exhausted" if for_good else "out-of-patience")
    assert [account.spent for account in accounts] == [16, 34, 34]
    journal = Journal.read(tmp_path)
    left = journal.batches("PLANNED")
    assert {account_in(batch.key) for batch in left} == {0}
    paid = [batch.key for batch in left if batch.key in losing.charged]
    assert len(paid) == 1, "the batch that was paid went to somebody else"
    assert len(journal.rows().indices) == 76, "what lies behind the gap was not observed"
    journal.close()

    # The account is served again: the answer that it paid for is had, and then its share.
    class Mended(Stopped):
        """Another customer's patience."""

    mended = Mended(charged=losing.charged)
    mended.name = "a"
    assert run(tmp_path, SybilOracle([mended, *accounts[1:]]), how) == "budget-spent"
    assert [mended.spent, accounts[1].spent, accounts[2].spent] == [34, 34, 34]
    journal = Journal.read(tmp_path)
    assert sorted(journal.rows().indices) == list(range(102))
    journal.close()


def test_an_answer_that_was_lost_on_the_way_is_not_paid_for_elsewhere(tmp_path: Path) -> None:
    class Unsure(Stopped):
        """Charges a batch, whose answer is lost in the client, and is suspended then."""

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            await super().classify(clips, key)
            refusal = AccountSuspended("watched")
            refusal.perhaps_paid = True
            raise refusal

    unsure = Unsure()
    unsure.name = "a"
    accounts = [unsure, *stopped(10**6, 10**6)]
    end = run(tmp_path, SybilOracle(accounts), settings("in_turn", budget=102))
    assert end == "account-exhausted"
    charged = [key.rsplit("-a")[0] for account in accounts for key in account.charged]
    assert len(charged) == len(set(charged))
    assert [account.spent for account in accounts[1:]] == [34, 34]


class Narrow(Named):
    """Sells ``most`` clips at a time."""

    most: int = 3

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        if len(clips) > self.most:
            raise BatchExceedsBurst(f"{self.most} at a time")
        return await super().classify(clips, key)


@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_that_is_too_large_now_is_sent_in_parts(most: int, tmp_path: Path) -> None:
    narrow = Narrow()
    narrow.name, narrow.most = "b", most
    accounts = [*customers("a"), narrow, *customers("c")]
    how = settings("in_turn", budget=90)
    assert run(tmp_path, SybilOracle(accounts), how) == "budget-spent"
    assert [account.spent for account in accounts] == [30, 30, 30]
    assert max(clips for _, clips in narrow.charged.values()) <= most
    journal = Journal.read(tmp_path)
    assert journal.rows().indices.tolist() == list(range(90))
    assert not journal.batches("PLANNED")
    journal.close()


@pytest.mark.parametrize("spread", ["in_turn", "contiguous"])
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(
    ("budget", "number", "bought"), [(10, 4, 0), (100, 3, 0), (500, 8, 0), (1000, 6, 128)]
)
def test_the_others_buy_all_of_their_shares(
    spread: Spread, in_flight: int, budget: int, number: int, bought: int, tmp_path: Path
) -> None:
    """However shares and batches divide: the batch of 64 is larger than what some have left."""
    accounts = stopped(bought, *[10**9] * (number - 1))
    how = settings(spread, budget, 64, in_flight, number)
    named = {**IDENTITY, "accounts": [account.name for account in accounts]}
    assert run(tmp_path, SybilOracle(accounts), how, named) == "account-exhausted"
    assert [account.spent for account in accounts] == [bought, *shares(budget, number)[1:]]


class Day(Named):
    """Sells ``most`` clips and says, of a batch that does not fit, how many are left."""

    most: int = 10**9
    spoken_for: int = 0

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        if self.spoken_for + len(clips) > self.most:
            raise RateLimited(retry_after_s=9e9, remaining=self.most - self.spoken_for)
        self.spoken_for += len(clips)  # before it waits: others may be on their way
        return await super().classify(clips, key)


@pytest.mark.parametrize("most", [1, 13, 29])
def test_what_is_left_of_a_day_is_bought_to_the_clip(most: int, tmp_path: Path) -> None:
    accounts = [Day(), Day(), Day()]
    for account, name in zip(accounts, "abc", strict=True):
        account.name = name
    accounts[1].most = most
    assert run(tmp_path, SybilOracle(accounts), settings("in_turn", budget=90)) == "out-of-patience"
    assert accounts[1].spent == most
    assert [accounts[0].spent, accounts[2].spent] == [30, 30]
    journal = Journal.read(tmp_path)
    assert journal.counts().answered == 60 + most
    journal.close()
    accounts[1].most = 10**9  # the next day
    assert run(tmp_path, SybilOracle(accounts), settings("in_turn", budget=90)) == "budget-spent"
    assert [account.spent for account in accounts] == [30, 30, 30]


def test_an_account_that_sells_not_even_one_clip_is_left(tmp_path: Path) -> None:
    narrow = Narrow()
    narrow.name, narrow.most = "b", 0
    accounts = [*customers("a"), narrow, *customers("c")]
    end = run(tmp_path, SybilOracle(accounts), settings("in_turn", budget=90))
    assert end == "account-exhausted"
    assert [account.spent for account in accounts] == [30, 0, 30]


def test_an_account_that_asks_for_too_much_work_is_left(tmp_path: Path) -> None:
    class Hard(Named):
        """Asks for more work than is done."""

        async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
            raise ProofTooHard("99 bits")

    hard = Hard()
    hard.name = "b"
    accounts = [*customers("a"), hard, *customers("c")]
    end = run(tmp_path, SybilOracle(accounts), settings("contiguous", budget=90))
    assert end == "account-exhausted"
    assert [account.spent for account in accounts] == [30, 0, 30]


def test_keys_that_make_no_sybil_are_refused() -> None:
    with pytest.raises(ExperimentError, match="which is no Sybil"):
        asyncio.run(SybilOracle(customers("a", "b", "a")).names())
    assert asyncio.run(SybilOracle(customers("a", "b")).names()) == ("a", "b")
    mixed = customers("a", "b")
    mixed[1].label_mode = "hard"
    with pytest.raises(ExperimentError, match="under the same plan"):
        asyncio.run(SybilOracle(mixed).card())
    few = SybilOracle(customers("a"))
    with pytest.raises(ExperimentError, match="planned for account 3"):
        asyncio.run(few.classify(np.zeros((1, SAMPLES), dtype=np.int16), "x-0-a2"))


@pytest.mark.parametrize("where", ["file", "environment"])
def test_keys_are_read_one_a_line(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ek_one\n\n  ek_two \nek_three\n"
    monkeypatch.setenv("EARSHOT_KEYS", text if where == "environment" else "ek_other")
    (tmp_path / "keys").write_text(text)
    found = read_keys("", tmp_path / "keys" if where == "file" else None)
    assert found == ("ek_one", "ek_two", "ek_three")


def test_a_single_key_is_one_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARSHOT_KEYS", raising=False)
    monkeypatch.setenv("EARSHOT_KEY", "ek_alone")
    assert read_keys("", None) == ("ek_alone",)
    assert read_keys("ek_said", None) == ("ek_said",)


def test_there_is_a_key_for_every_account_or_one_line_that_says_so() -> None:
    assert demand_keys(["a", "b", "c"], 2) == ("a", "b")
    for keys, given in ((["a"], "one key is given"), (["a", "b"], "2 keys are given")):
        with pytest.raises(ExperimentError, match=f"accounts is 3, but {given}. Write one key"):
            demand_keys(keys, 3)


def test_one_customer_is_no_sybil() -> None:
    one, two = customers("a", "b")
    assert as_one([one]) is one
    assert isinstance(as_one([one, two]), SybilOracle)
