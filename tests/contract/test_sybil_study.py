"""Policies that count per account, against one account and against a Sybil's, over HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attacker.journal import Journal
from attacker.lab.admin import AdminClient
from attacker.lab.study.keys import KEY_NAME
from shared.contract import AccountLadder
from tests.support.command_line import caller
from tests.support.laboratory import Laboratory, laboratory
from tests.support.studies import write_study
from tests.support.tables import write_proxy

PLAN = {
    "id": "per-account", "label": "Per account", "label_modes": ["soft"],
    "plan": {"account_budget": 10, "speaker_cap": {"speakers": 1, "beyond": "told"}},
}  # fmt: skip


@pytest.mark.timeout(300)
def test_what_an_account_is_refused_a_sybil_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(
        tmp_path / "tiny.yaml", budgets=[40], by_budget={}, plans=[PLAN],
        query={"batch_clips": 5, "in_flight": 1},  # clips under way do not see each other
        attackers__1__by_plan={"per-account": {"query": {"accounts": 4}}},
        corpora__proxy__root=str(write_proxy(tmp_path / "proxy")),
    )  # fmt: skip
    # A customer's own keys in the environment are no cell's business.
    monkeypatch.setenv("EARSHOT_KEYS", "ek_somebody\nek_else")
    with laboratory(tmp_path) as lab:
        call = caller(monkeypatch, capsys, lab.url, str(tmp_path / "cache"))
        words = ["study", str(path), *lab.options]
        code, output = call(*words, key="")
        assert code == 0, output
        alone, sybil = (lab.rows()[f"per-account-soft-b40-{w}-s0"] for w in ("naive", "adaptive"))
        assert (alone["accounts"], sybil["accounts"]) == (1, 4)
        assert (alone["charged"], sybil["charged"]) == (10, 40)
        assert alone["coverage"] == 0.2  # one speaker of five
        assert sybil["coverage"] > alone["coverage"]
        assert sorted(lab.spent().values()) == [10] * 5
        counts = [len((cell / KEY_NAME).read_text().split()) for cell in lab.cells()]
        assert sorted(counts) == [1, 4]

        rows = lab.rows()
        assert call(*words, key="")[0] == 0
        assert lab.rows() == rows
        assert sorted(lab.spent().values()) == [10] * 5


SUSPENDING = {
    "id": "suspending", "label": "Suspends", "label_modes": ["soft"],
    "plan": {
        "rate_per_s": 4.0, "burst": 5,  # time to suspend somebody in
        "ladder": {"steps": [{"kind": "degrade", "label_mode": "hard"}, {"kind": "suspend"}]},
    },
}  # fmt: skip


def suspend_the_first(lab: Laboratory) -> None:
    """Suspend the first account that bought something, and tell another labels alone."""
    with AdminClient(lab.url, lab.keys["admin"]) as operator:
        deadline = time.monotonic() + 200
        while len(bought := [name for name, spent in lab.spent().items() if spent]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for account, rung in zip(bought, (2, 1), strict=False):
            order = {"rung": rung, "reason": "a test"}
            operator.ask("PUT", f"/v1/admin/accounts/{account}/ladder", AccountLadder, order)


@pytest.mark.timeout(300)
def test_a_suspended_account_costs_a_sybil_what_it_had_left_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(
        tmp_path / "tiny.yaml", budgets=[60], by_budget={}, plans=[SUSPENDING], marks=[0.5, 1],
        query={"batch_clips": 5, "in_flight": 2},
        attackers__1__by_plan={"suspending": {"query": {"accounts": 3}}},
        attackers__0=None, corpora__proxy__root=str(write_proxy(tmp_path / "proxy")),
    )  # fmt: skip
    with laboratory(tmp_path) as lab:
        call = caller(monkeypatch, capsys, lab.url, str(tmp_path / "cache"))
        with ThreadPoolExecutor(1) as pool:
            suspending = pool.submit(suspend_the_first, lab)
            code, output = call("study", str(path), *lab.options, key="")
            suspending.result()
        assert code == 0, output
        (row,) = lab.rows().values()
        first, *others = sorted(lab.spent().values())
        assert others == [20, 20], "the others did not go on"
        assert 0 < first < 20, "the account was not suspended in time: nothing was tested"
        assert row["bought"] == row["charged"] == first + 40
        (cell,) = lab.cells()
        journal = Journal.read(cell / "attack")
        certain = (journal.rows().answers.max(axis=1) == 1).sum()
        journal.close()
        assert 0 < certain < row["bought"], "nobody was told labels alone"
