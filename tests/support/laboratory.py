"""The operator of studies against a real service: his keys, and what the ledger and folders say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attacker.lab.admin import AdminClient
from attacker.lab.study.rows import read_rows
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_victim, running_victim


@contextmanager
def laboratory(folder: Path, **settings: Any) -> Iterator["Laboratory"]:
    """A victim in ``folder`` that is trained and serves, and its laboratory."""
    checkpoint = make_victim(folder / "checkpoint")
    with running_victim(checkpoint, folder / "victim", new_keys=False, **settings) as victim:
        yield Laboratory(victim, folder)


class Laboratory:
    """The keys of the laboratory in files, and a look into the ledger over the admin routes."""

    def __init__(self, victim: RunningVictim, folder: Path) -> None:
        self.keys = {
            s: add_key(victim.ledger_path, f"lab-{s}", scope=s) for s in ("admin", "audit")
        }
        for scope, key in self.keys.items():
            (folder / f"{scope}.key").write_text(key + "\n")
        self.url, self.out = victim.url, folder / "out"
        self.options = [
            "--url", victim.url, "--out", str(self.out), "--cache", str(folder / "cache"),
            "--bundle", str(victim.checkpoint / "bundle"), "--device", "cpu",
            "--admin-key-file", str(folder / "admin.key"),
            "--audit-key-file", str(folder / "audit.key"),
        ]  # fmt: skip

    def spent(self) -> dict[str, int]:
        """Return what each account of a cell has bought."""
        with AdminClient(self.url, self.keys["admin"]) as operator:
            found = operator.accounts().items()
        return {name: one.spent for name, one in found if not name.startswith("lab-")}

    def plans(self) -> dict[str, int]:
        """Return the version of each plan of the study; to sell it again makes no other one."""
        plans = self.documents()
        with AdminClient(self.url, self.keys["admin"]) as operator:
            return {name: operator.put_plan(plan).version for name, plan in plans.items()}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return each plan of the study as it was sold."""
        (manifest,) = self.out.glob("*/tiny-desk/study.json")
        documents = json.loads(manifest.read_text())["plans"]
        return {name: {"name": name, **said} for name, said in documents.items()}

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the study by the names of their cells."""
        (path,) = self.out.glob("*/tiny-desk/cells.parquet")
        return {row["cell"]: row for row in read_rows(path)}

    def cells(self) -> list[Path]:
        """Return the folders of all cells."""
        return sorted(self.out.glob("*/cells/*"))
