"""A Sybil: one attacker behind several accounts, each with an API key of its own.

Which account buys a batch is decided when it is planned, and is written into its idempotency key
before it goes over the wire. So a batch that is sent again, in this process or after a crash, goes
to the account that may have paid for it. One that is refused there, because the account is
suspended or has spent its budget, passes to another account, under that one's key. But one that may
have been paid for is left where it is until that account is served again: nothing is paid twice.
"""

import asyncio
import re
from collections.abc import Sequence

import numpy as np

from attacker.errors import ExperimentError
from attacker.oracle import Oracle
from shared.contract import AccountStatus, ModelCard

_SUFFIX = re.compile(r"-a(\d+)$")


def suffixes(accounts: int) -> tuple[str, ...]:
    """Return what ends the names of each of ``accounts`` accounts' things, in order.

    It is nothing where there is one account alone.
    """
    return ("",) if accounts == 1 else tuple(f"-a{number}" for number in range(accounts))


def account_in(key: str) -> int:
    """Return the number of the account that idempotency key ``key`` names; 0 if it names none."""
    found = _SUFFIX.search(key)
    return int(found.group(1)) if found else 0


def demand_keys(keys: Sequence[str], accounts: int) -> tuple[str, ...]:
    """Return the keys of ``accounts`` accounts: the first of ``keys``.

    Raises:
        ExperimentError: there are fewer.
    """
    if len(keys) < accounts:
        given = f"{len(keys)} keys are given" if len(keys) > 1 else "one key is given"
        raise ExperimentError(
            f"query.accounts is {accounts}, but {given}. Write one key a line, each of an account "
            "of its own, into the file of --key-file, or into EARSHOT_KEYS."
        )
    return tuple(keys[:accounts])


def as_one(oracles: Sequence[Oracle]) -> Oracle:
    """Return what asks ``oracles`` as one customer does: the only one itself, or a Sybil's."""
    return oracles[0] if len(oracles) == 1 else SybilOracle(oracles)


class SybilOracle:
    """One victim, asked from several accounts; a batch goes where its idempotency key says.

    Together they have the budgets and rates of all.
    """

    def __init__(self, oracles: Sequence[Oracle]) -> None:
        self.oracles = tuple(oracles)
        self._card: ModelCard | None = None

    async def card(self) -> ModelCard:
        """Return what the victim says of itself to all accounts.

        Raises:
            ExperimentError: it does not say the same to each; they have different plans.
            OracleError: a key was refused, or nobody answers.
        """
        if self._card is None:
            cards = await asyncio.gather(*(oracle.card() for oracle in self.oracles))
            for number, card in enumerate(cards, start=1):
                if card != cards[0]:
                    raise ExperimentError(
                        f"key {number} of {len(cards)} is sold other answers than key 1, and one "
                        "journal holds one kind. Issue all keys under the same plan."
                    )
            self._card = cards[0]
        return self._card

    async def names(self) -> tuple[str, ...]:
        """Return the names of the accounts, in the order of the keys.

        Raises:
            ExperimentError: two keys belong to one account.
        """
        return tuple(status.account for status in await self._statuses())

    async def account(self) -> AccountStatus:
        """Return what all accounts together may still spend; the burst is the smallest.

        Raises:
            ExperimentError: two keys belong to one account.
        """
        statuses = await self._statuses()
        bursts = [status.burst for status in statuses if status.burst is not None]
        return statuses[0].model_copy(
            update={
                "account": f"{statuses[0].account} and {len(statuses) - 1} more",
                "budget": _total([status.budget for status in statuses]),
                "spent": sum(status.spent for status in statuses),
                "remaining": _total([status.remaining for status in statuses]),
                "rate_per_s": _total([status.rate_per_s for status in statuses]),
                "burst": min(bursts, default=None),
            }
        )

    async def classify(self, clips: np.ndarray, key: str) -> np.ndarray:
        """Buy answers to ``clips`` from the account that ``key`` names; see Oracle."""
        account = account_in(key)
        if account >= len(self.oracles):
            raise ExperimentError(
                f"a batch was planned for account {account + 1}, but there are "
                f"{len(self.oracles)} keys. Give the keys that began the campaign, in their order."
            )
        return await self.oracles[account].classify(clips, key)

    async def close(self) -> None:
        """End all connections."""
        for oracle in self.oracles:
            await oracle.close()

    async def _statuses(self) -> list[AccountStatus]:
        statuses = list(await asyncio.gather(*(oracle.account() for oracle in self.oracles)))
        names = [status.account for status in statuses]
        for name in names:
            if names.count(name) > 1:
                raise ExperimentError(
                    f"two of the {len(names)} keys belong to account {name!r}, which is no Sybil. "
                    "Issue each key to an account of its own."
                )
        return statuses


def _total(parts: Sequence[int | float | None]) -> int | float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
