"""A plan that sells no more today, in a study over HTTP: it ends in a result, and can go on."""

import re
from pathlib import Path

import pytest

from attacker.cells.cell import DONE_NAME, read_done
from attacker.cells.jobs import LOG_NAME
from attacker.lab.admin import AdminClient
from attacker.lab.study.keys import KEY_NAME
from tests.support.command_line import caller
from tests.support.laboratory import laboratory
from tests.support.studies import write_study
from tests.support.tables import write_proxy

PLAN = {
    "id": "daily", "label": "30 clips a day", "label_modes": ["soft"],
    "plan": {"daily_budget": 30},
}  # fmt: skip
CELL = "daily-soft-b40-naive-s0"


@pytest.mark.timeout(600)  # a wait for the plan would be eight hours
def test_a_plan_that_sells_no_more_today_ends_a_cell_with_what_it_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(
        tmp_path / "tiny.yaml", budgets=[40], by_budget={}, plans=[PLAN],
        query={"batch_clips": 35, "in_flight": 2},  # more than a day sells: batches are cut
        attackers__1__by_plan=None, corpora__proxy__root=str(write_proxy(tmp_path / "proxy")),
    )  # fmt: skip
    with laboratory(tmp_path) as lab:
        call = caller(monkeypatch, capsys, lab.url, str(tmp_path / "cache"))
        words = ["study", str(path), *lab.options]
        code, output = call(*words, key="")
        assert code == 0, output
        row = lab.rows()[CELL]
        assert (row["bought"], row["charged"], row["kept"]) == (30, 30, 30)
        assert row["accuracy"] is not None
        (cell,) = lab.cells()
        assert read_done(cell)["attack"]["ended"] == "out-of-patience"
        assert re.search(r"no more for (7 h 59|8 h 0) min, until 2", (cell / LOG_NAME).read_text())
        assert re.search(rf"{CELL}: done in .*: out of patience after 30 clips", output)
        assert list(lab.spent().values()) == [30]

        # The next day, as far as this key is concerned.
        (document,) = lab.documents().values()
        with AdminClient(lab.url, lab.keys["admin"]) as operator:
            operator.put_plan({**document, "daily_budget": 1_000_000})
        key_file = ("--key-file", str(cell / KEY_NAME))
        code, output = call("resume", str(cell), *key_file, "--device", "cpu", key="")
        assert code == 0, output
        assert list(lab.spent().values()) == [40]
        (cell / DONE_NAME).unlink()
        code, output = call(*words, key="")
        assert code == 0, output
        assert (lab.rows()[CELL]["bought"], lab.rows()[CELL]["charged"]) == (40, 40)
        assert list(read_done(cell)["attack"]["surrogates"]) == ["20", "40"]
