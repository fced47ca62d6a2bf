"""A study on two Ray workers of this machine, one of which is killed: the rows of a local run.

Two of its cells are a Sybil's.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from attacker.lab.admin import AdminClient
from tests.support.forked import start_attacker
from tests.support.laboratory import Laboratory
from tests.support.process_tree import descendants
from tests.support.studies import CELLS, write_study
from tests.support.tables import write_proxy
from tests.support.victims import make_victim, running_victim

pytest.importorskip("ray")
_OWN = ("took_s",)
"""What two runs do not have in common."""


def run(
    folder: Path, checkpoint: Path, secret: Path, ray: bool
) -> tuple[list[dict[str, Any]], int]:
    """Run TINY against a victim of its own ledger; return its rows and how often workers died."""
    folder.mkdir()
    changes: dict[str, Any] = {"corpora__proxy__root": str(folder.parent / "proxy")}
    changes["attackers__1__by_plan__noise__query"] = {"accounts": 2}
    study = write_study(folder / "tiny.yaml", **changes)
    killed = 0
    with running_victim(
        checkpoint, folder / "victim", new_keys=False, secret_file=str(secret)
    ) as victim:
        lab = Laboratory(victim, folder)
        words = ["study", str(study), "--jobs", "2", *lab.options]
        words += ["--ray", "local"] if ray else []
        process = start_attacker(words, folder / "log")
        assert process.pid is not None
        deadline = time.monotonic() + 400
        while process.is_alive() and time.monotonic() < deadline:
            if ray and not killed and list(lab.out.glob("*/cells/*/attack/journal.sqlite")):
                workers = [
                    p for p, line in descendants(process.pid).items() if "ray::run_command" in line
                ]
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    killed += 1
            time.sleep(0.05)
        process.join(10)
        assert process.exitcode == 0, (folder / "log").read_text()
        with AdminClient(lab.url, lab.keys["admin"]) as operator:
            spent = sum(one.spent for one in operator.accounts().values())
        assert spent == 240  # whoever was killed, nothing was paid twice
    lost = sum("worker was lost" in log.read_text() for log in lab.out.glob("*/cells/*/job.log"))
    assert lost == killed
    return [{k: v for k, v in row.items() if k not in _OWN} for row in lab.rows().values()], killed


@pytest.mark.timeout(900)
def test_two_workers_one_of_them_killed_give_the_rows_of_a_local_run(tmp_path: Path) -> None:
    checkpoint = make_victim(tmp_path / "checkpoint")
    write_proxy(tmp_path / "proxy")
    secret = tmp_path / "secret"
    local, _ = run(tmp_path / "here", checkpoint, secret, ray=False)
    on_ray, killed = run(tmp_path / "there", checkpoint, secret, ray=True)
    assert killed == 1
    assert len(local) == CELLS
    assert sorted(row["accounts"] for row in local) == [1] * (CELLS - 2) + [2, 2]
    assert on_ray == local
