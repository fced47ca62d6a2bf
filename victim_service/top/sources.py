"""One frame out of a ledger, of replicas, or of both."""

import asyncio
import dataclasses
from collections.abc import Sequence

from victim_service.errors import StartError
from victim_service.top.frame import Frame, Service, meter
from victim_service.top.ledger_source import LedgerSource
from victim_service.top.service_source import Reply, ServiceSource


class Sources:
    """Spend comes from the ledger where there is one, rates and refusals from the replicas."""

    def __init__(self, ledger: LedgerSource | None, replicas: Sequence[ServiceSource]) -> None:
        self._ledger = ledger
        self._replicas = replicas

    async def read(self) -> Frame:
        """Return a frame; a replica that is down is shown as such while another one answers.

        Raises:
            StartError: no replica answers.
            Refusal: ledger-unreachable.
        """
        replies, lost = await self._ask_replicas()
        frame = await self._base(replies)
        if not self._replicas:
            return frame
        answered = {reply.service.url: reply.service for reply in replies}
        return dataclasses.replace(
            frame,
            accounts=meter(frame.accounts, [reply.accounts for reply in replies]),
            services=[
                answered.get(replica.url) or Service(replica.url, "does not answer")
                for replica in self._replicas
            ],
            trouble=str(lost[0]) if lost else "",
        )

    async def _base(self, replies: Sequence[Reply]) -> Frame:
        if self._ledger is not None:
            return await self._ledger.read()
        first = replies[0]
        return Frame(first.at, first.service.url, first.accounts)

    async def _ask_replicas(self) -> tuple[list[Reply], list[StartError]]:
        asked = [asyncio.to_thread(replica.read) for replica in self._replicas]
        replies: list[Reply] = []
        lost: list[StartError] = []
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, Reply):
                replies.append(outcome)
            elif isinstance(outcome, StartError):
                lost.append(outcome)
            else:
                raise outcome
        if lost and not replies:
            raise lost[0]
        return replies, lost
