"""The accounts and keys of each cell: made once, kept in the cell's folder, and used again.

A Sybil's cell has several of both; their names follow from one, which the folder keeps, and the
keys lie in one file, a line each in the order of the accounts.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacker.cells.cell import bought
from attacker.errors import ExperimentError
from attacker.lab.admin import AdminClient
from attacker.lab.study.resolve import StudyCell
from shared.checkpoint import write_atomically
from shared.contract import AccountUsage, KeyInfo

KEY_NAME, ACCOUNT_NAME = "key", "account.json"


@dataclass(frozen=True)
class KeyRing:
    """What the victim knows of accounts and keys, and the operator's key to make more."""

    admin: AdminClient
    tag: str
    known: Mapping[str, KeyInfo]
    spent: Mapping[str, AccountUsage]

    @classmethod
    def ask(cls, admin: AdminClient, tag: str) -> "KeyRing":
        """Ask the victim once for all that it knows.

        Raises:
            OracleError: it cannot be reached, or refuses the admin key.
        """
        return cls(admin, tag, admin.keys(), admin.accounts())

    def account_of(self, cell: StudyCell, folder: Path) -> str:
        """Return the account that pays for ``cell``: the one that its folder began with.

        The names of a Sybil's accounts begin with it.
        """
        return account_of(cell, folder, self.tag)

    def check(self, cell: StudyCell, folder: Path) -> None:
        """Refuse an account that another folder has bought with.

        Answers depend on the account and on what it did before, and its spending would be taken
        for this cell's.

        Raises:
            ExperimentError: it has bought, and nothing in ``folder`` tells of it.
        """
        if read_account(folder) is not None or bought(folder) > 0:
            return
        for account in cell.shares(self.account_of(cell, folder)):
            usage = self.spent.get(account)
            if usage is not None and usage.spent > 0:
                raise ExperimentError(
                    f"the account {account} has bought {usage.spent:,} clips in another folder. Go "
                    "on there with --out, or let other accounts pay with --tag NAME."
                )

    def provide(self, cell: StudyCell, folder: Path) -> None:
        """Leave keys that together buy the cell's budget in ``folder``, unless they lie there.

        A key that this victim's ledger does not know is replaced; one that was revoked is not.

        Raises:
            OracleError: the victim cannot be reached, or refuses.
        """
        account = self.account_of(cell, folder)
        shares = cell.shares(account)
        held = _read_keys(folder, len(shares))
        if all(self._knows(key) for key in held):
            return
        note = {"account": account, "plan": cell.plan.name, "budget": cell.budget}
        # Before the keys: whoever finds a key of this account later knows whose it is.
        write_atomically(folder / ACCOUNT_NAME, (json.dumps(note, indent=2) + "\n").encode())
        keys = [
            key if self._knows(key) else self.admin.issue_key(name, cell.plan.name, share).key
            for key, (name, share) in zip(held, shares.items(), strict=True)
        ]
        _write_secrets(folder / KEY_NAME, keys)

    def _knows(self, key: str) -> bool:
        parts = key.split("_")
        return len(parts) > 1 and parts[1] in self.known


def bill(admin: AdminClient, cell: StudyCell, account: str) -> dict[str, Any]:
    """Return what the ledger says that the accounts of ``cell`` paid: in all, and each of them.

    Raises:
        OracleError: the victim cannot be reached, or refuses.
    """
    usages = [admin.usage(name) for name in cell.shares(account)]
    return {
        "account": account,
        "charged": sum(one.spent for one in usages),
        "spent_money": sum(one.cost for one in usages),
        "charged_to": {one.account: one.spent for one in usages},
    }


def account_of(cell: StudyCell, folder: Path, tag: str) -> str:
    """Return the account that pays for ``cell``; see :meth:`KeyRing.account_of`."""
    return read_account(folder) or cell.account(tag)


def read_account(folder: Path) -> str | None:
    """Return the account that pays for the cell in ``folder``, if it has begun."""
    try:
        return str(json.loads((folder / ACCOUNT_NAME).read_text(encoding="utf-8"))["account"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_keys(folder: Path, count: int) -> list[str]:
    """Return the ``count`` keys that lie in ``folder``; an empty one for each that does not."""
    try:
        found = (folder / KEY_NAME).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        found = []
    return [*found, *[""] * count][:count]


def _write_secrets(path: Path, keys: Sequence[str]) -> None:
    """Write ``keys``, one a line, for their owner's eyes alone; a crash leaves all or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{key}\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
