"""Plans in the ledger: versions, who made them, and which one is sold."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from shared.config import ConfigError
from victim_service import plan_book
from victim_service.defences.rounding import RoundingSpec
from victim_service.errors import Refusal
from victim_service.ledger import Ledger, open_ledger
from victim_service.ledger.records import PlanRecord
from victim_service.plan_book import PlanBook, Sold, admin_source
from victim_service.plans import Plan

ADMIN = admin_source("0123456789ab")


def plan(budget: int = 10, name: str = "p", **fields: Any) -> Plan:
    return Plan(name=name, label_mode="soft", budget=budget, **fields)


def files(*plans: Plan) -> dict[str, Plan]:
    return {item.name: item for item in plans}


def play(ledger_url: str, story: Callable[[Ledger], Awaitable[None]]) -> None:
    async def main() -> None:
        ledger = open_ledger(ledger_url, 10.0)
        try:
            await story(ledger)
        finally:
            await ledger.aclose()

    asyncio.run(main())


async def history(ledger: Ledger, name: str = "p") -> list[tuple[int, str]]:
    return [(record.version, record.source) for record in await ledger.plan_history(name)]


def test_versions_count_up_and_stay_as_they_were(ledger_url):
    async def story(ledger: Ledger) -> None:
        book = PlanBook(ledger)
        assert await book.latest("p") is None
        assert await book.at("p", 1) is None
        defended = plan(20, defences=(RoundingSpec(decimals=2),))
        assert await book.put(plan(10), "file") == 1
        assert await book.put(defended, ADMIN) == 2
        assert await book.put(plan(name="q"), ADMIN) == 1
        for reader in (book, PlanBook(ledger)):
            assert await reader.latest("p") == Sold(defended, 2)
            assert await reader.at("p", 1) == plan(10)
            assert await reader.at("p", 2) == defended
            assert await reader.at("p", 3) is None
            assert await reader.all() == [Sold(defended, 2), Sold(plan(name="q"), 1)]
        assert await history(ledger) == [(1, "file"), (2, ADMIN)]

    play(ledger_url, story)


def test_putting_what_is_sold_already_makes_no_version(ledger_url):
    async def story(ledger: Ledger) -> None:
        book = PlanBook(ledger)
        await book.put(plan(10), "file")
        assert await book.put(plan(10), ADMIN) == 1
        assert await book.put(plan(20), ADMIN) == 2
        assert await book.put(plan(10), ADMIN) == 3
        assert len(await history(ledger)) == 3

    play(ledger_url, story)


def test_a_change_by_another_replica_is_seen_within_a_second(ledger_url, monkeypatch):
    async def story(ledger: Ledger) -> None:
        now = [1000.0]
        monkeypatch.setattr(plan_book, "time", SimpleNamespace(monotonic=lambda: now[0]))
        ours, others = PlanBook(ledger), PlanBook(ledger)
        await ours.put(plan(10), "file")
        assert await ours.latest("p") == Sold(plan(10), 1)
        await others.put(plan(20), ADMIN)
        assert await others.latest("p") == Sold(plan(20), 2)
        now[0] += 0.9
        assert await ours.latest("p") == Sold(plan(10), 1)
        now[0] += 0.2
        assert await ours.latest("p") == Sold(plan(20), 2)

    play(ledger_url, story)


def test_plans_are_read_from_the_ledger_once_a_second(ledger_url, monkeypatch):
    async def story(ledger: Ledger) -> None:
        book, asked = PlanBook(ledger), []
        await book.put(plan(10), "file")
        read = ledger.plan

        async def counted(name: str, version: int | None = None) -> PlanRecord | None:
            asked.append((name, version))
            return await read(name, version)

        monkeypatch.setattr(ledger, "plan", counted)
        for _ in range(20):
            assert await book.latest("p") is not None
            assert await book.at("p", 1) is not None
        assert asked == [("p", None)]

    play(ledger_url, story)


def test_files_are_adopted_at_first_and_when_they_change(ledger_url):
    async def story(ledger: Ledger) -> None:
        book = PlanBook(ledger)
        for _ in range(3):
            await book.sync_files(files(plan(10), plan(name="q")))
        assert await history(ledger) == [(1, "file")]
        await book.sync_files(files(plan(30), plan(name="q")))
        assert await history(ledger) == [(1, "file"), (2, "file")]
        assert await history(ledger, "q") == [(1, "file")]
        await book.sync_files(files(plan(name="q")))  # a file that is gone ends no plan
        assert await book.latest("p") == Sold(plan(30), 2)

    play(ledger_url, story)


def test_an_admins_change_survives_restarts_until_the_file_changes(ledger_url):
    async def story(ledger: Ledger) -> None:
        await PlanBook(ledger).sync_files(files(plan(10)))
        await PlanBook(ledger).put(plan(20), ADMIN)
        await PlanBook(ledger).sync_files(files(plan(10)))
        assert await PlanBook(ledger).latest("p") == Sold(plan(20), 2)
        await PlanBook(ledger).sync_files(files(plan(30)))
        assert await PlanBook(ledger).latest("p") == Sold(plan(30), 3)
        await PlanBook(ledger).put(plan(20), ADMIN)
        await PlanBook(ledger).sync_files(files(plan(30)))
        assert await PlanBook(ledger).latest("p") == Sold(plan(20), 4)

    play(ledger_url, story)


def test_a_file_that_comes_to_say_what_an_admin_said_counts_as_changed(ledger_url):
    async def story(ledger: Ledger) -> None:
        book = PlanBook(ledger)
        await book.sync_files(files(plan(10)))
        await book.put(plan(20), ADMIN)
        await book.sync_files(files(plan(20)))
        await book.put(plan(40), ADMIN)
        await book.sync_files(files(plan(20)))
        assert await book.latest("p") == Sold(plan(40), 4)

    play(ledger_url, story)


def test_what_was_put_before_the_first_start_is_not_undone_by_a_file(ledger_url):
    async def story(ledger: Ledger) -> None:
        book = PlanBook(ledger)
        await book.put(plan(1), plan_book.COMMAND_SOURCE)
        await book.sync_files(files(plan(10)))
        assert await book.latest("p") == Sold(plan(1), 1)

    play(ledger_url, story)


def test_many_who_change_a_plan_at_once_all_get_a_version_of_their_own(ledger_url):
    async def story(ledger: Ledger) -> None:
        books = [PlanBook(ledger) for _ in range(6)]
        versions = await asyncio.gather(
            *(book.put(plan(number), ADMIN) for number, book in enumerate(books))
        )
        assert sorted(versions) == [1, 2, 3, 4, 5, 6]
        for number, version in enumerate(versions):
            assert await books[0].at("p", version) == plan(number)

    play(ledger_url, story)


def test_replicas_that_start_together_adopt_a_file_once(ledger_url):
    async def story(ledger: Ledger) -> None:
        await asyncio.gather(*(PlanBook(ledger).sync_files(files(plan(10))) for _ in range(6)))
        assert await history(ledger) == [(1, "file")]

    play(ledger_url, story)


def test_a_plan_that_never_stands_still_is_given_up(ledger_url, monkeypatch):
    async def story(ledger: Ledger) -> None:
        async def always_late(record: PlanRecord) -> bool:
            return False

        monkeypatch.setattr(ledger, "add_plan", always_late)
        with pytest.raises(Refusal, match="Retry later"):
            await PlanBook(ledger).put(plan(10), ADMIN)

    play(ledger_url, story)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "plan p, version 1: not JSON"),
        ('{"name": "p", "label_mode": "loud"}', "plan p, version 1: label_mode"),
        (
            '{"name": "p", "label_mode": "soft", "defences": [{"kind": "magic"}]}',
            "unknown kind 'magic'; valid kinds: .*rounding",
        ),
    ],
)
def test_a_version_of_another_release_is_named_and_can_be_replaced(ledger_url, document, message):
    async def story(ledger: Ledger) -> None:
        await ledger.add_plan(PlanRecord("p", 1, document, "file", 0.0))
        with pytest.raises(ConfigError, match=message):
            await PlanBook(ledger).latest("p")
        assert await PlanBook(ledger).put(plan(10), ADMIN) == 2
        assert await PlanBook(ledger).latest("p") == Sold(plan(10), 2)

    play(ledger_url, story)
