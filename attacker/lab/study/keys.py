"""The account and key of each cell: made once, kept in the cell's folder, and used again."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
        """Return the account that pays for ``cell``: the one that its folder began with."""
        return read_account(folder) or cell.account(self.tag)

    def check(self, cell: StudyCell, folder: Path) -> None:
        """Refuse an account that another folder has bought with.

        Answers depend on the account and on what it did before, and its spending would be taken
        for this cell's.

        Raises:
            ExperimentError: it has bought, and nothing in ``folder`` tells of it.
        """
        account = self.account_of(cell, folder)
        usage = self.spent.get(account)
        if usage is None or usage.spent == 0:
            return
        if read_account(folder) is None and bought(folder) == 0:
            raise ExperimentError(
                f"the account {account} has bought {usage.spent:,} clips in another folder. Go on "
                "there with --out, or let other accounts pay with --tag NAME."
            )

    def provide(self, cell: StudyCell, folder: Path) -> None:
        """Leave a key that buys the cell's budget in ``folder``, unless one lies there.

        A key that this victim's ledger does not know is replaced; one that was revoked is not.

        Raises:
            OracleError: the victim cannot be reached, or refuses.
        """
        if _key_id(folder) in self.known:
            return
        account = self.account_of(cell, folder)
        note = {"account": account, "plan": cell.plan.name, "budget": cell.budget}
        # Before the key: whoever finds a key of this account later knows whose it is.
        write_atomically(folder / ACCOUNT_NAME, (json.dumps(note, indent=2) + "\n").encode())
        issued = self.admin.issue_key(account, cell.plan.name, cell.budget)
        _write_secret(folder / KEY_NAME, issued.key)


def read_account(folder: Path) -> str | None:
    """Return the account that pays for the cell in ``folder``, if it has begun."""
    try:
        return str(json.loads((folder / ACCOUNT_NAME).read_text(encoding="utf-8"))["account"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key_id(folder: Path) -> str | None:
    try:
        return (folder / KEY_NAME).read_text(encoding="ascii").strip().split("_")[1]
    except (OSError, UnicodeDecodeError, IndexError):
        return None


def _write_secret(path: Path, key: str) -> None:
    """Write ``key`` for its owner's eyes alone; a crash leaves a whole key or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
