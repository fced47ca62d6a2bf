"""Keys of cells: made once, kept from others' eyes, and never a second one for what was bought."""

import stat
from pathlib import Path

import pytest

from attacker.errors import ExperimentError
from attacker.lab.admin import AdminClient
from attacker.lab.study.file import load_study
from attacker.lab.study.keys import ACCOUNT_NAME, KEY_NAME, KeyRing, bill, read_account
from attacker.lab.study.resolve import StudyCell, resolve
from shared.contract import AccountUsage, IssuedKey, KeyInfo
from tests.support.studies import write_study


class Counting(AdminClient):
    """Issues keys without a victim, and counts them."""

    def __init__(self) -> None:
        self.issued: list[KeyInfo] = []
        self.spent: dict[str, int] = {}

    def issue_key(self, account: str, plan: str, budget: int | None = None) -> IssuedKey:
        info = KeyInfo(
            key_id=f"id{len(self.issued)}", account=account, plan=plan, scope="query",
            budget=budget, issued_at=0.0, state="valid",
        )  # fmt: skip
        self.issued.append(info)
        return IssuedKey(key=f"lab_{info.key_id}_secret_crc", info=info)

    def keys(self) -> dict[str, KeyInfo]:
        return {info.key_id: info for info in self.issued}

    def usage(self, account: str) -> AccountUsage:
        return self.accounts()[account]

    def accounts(self) -> dict[str, AccountUsage]:
        return {
            name: AccountUsage(
                account=name, spent=spent, queries=1, audited=0, cost=spent / 2, budget=None,
                remaining=None, last_at=None, keys=[],
            )
            for name, spent in self.spent.items()
        }  # fmt: skip


@pytest.fixture
def cell(tmp_path: Path) -> StudyCell:
    return resolve(load_study(write_study(tmp_path / "t.yaml"), "desk"))[0]


@pytest.fixture
def sybil(tmp_path: Path) -> StudyCell:
    """A cell that three accounts pay for."""
    path = write_study(tmp_path / "s.yaml", attackers__0__query={"accounts": 3})
    return resolve(load_study(path, "desk"))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cell"


def test_a_key_buys_the_budget_of_its_cell_and_is_its_owners_alone(
    cell: StudyCell, folder: Path
) -> None:
    operator = Counting()
    KeyRing.ask(operator, "").provide(cell, folder)
    (issued,) = operator.issued
    assert (issued.account, issued.plan, issued.budget) == (cell.account(""), cell.plan.name, 20)
    assert (folder / KEY_NAME).read_text() == "lab_id0_secret_crc\n"
    assert stat.S_IMODE((folder / KEY_NAME).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [ACCOUNT_NAME, KEY_NAME]
    assert "secret" not in (folder / ACCOUNT_NAME).read_text()


def test_a_cell_keeps_key_and_account_whatever_the_tag_is_later(
    cell: StudyCell, folder: Path
) -> None:
    operator = Counting()
    KeyRing.ask(operator, "first").provide(cell, folder)
    ring = KeyRing.ask(operator, "second")
    ring.provide(cell, folder)
    assert len(operator.issued) == 1
    assert ring.account_of(cell, folder) == cell.account("first") == read_account(folder)


@pytest.mark.parametrize("damage", ["", "lab", "nothing of the kind\n", None])
def test_a_key_that_a_kill_left_out_is_made_anew_for_the_same_account(
    cell: StudyCell, folder: Path, damage: str | None
) -> None:
    operator = Counting()
    KeyRing.ask(operator, "t").provide(cell, folder)
    (folder / KEY_NAME).unlink()
    if damage is not None:
        (folder / KEY_NAME).write_text(damage)
    KeyRing.ask(operator, "").provide(cell, folder)
    assert [info.account for info in operator.issued] == [cell.account("t")] * 2
    assert (folder / KEY_NAME).read_text() == "lab_id1_secret_crc\n"


def test_a_revoked_key_is_not_gone_round(cell: StudyCell, folder: Path) -> None:
    operator = Counting()
    KeyRing.ask(operator, "").provide(cell, folder)
    operator.issued[0] = operator.issued[0].model_copy(update={"state": "revoked"})
    KeyRing.ask(operator, "").provide(cell, folder)
    assert len(operator.issued) == 1


def test_an_account_that_bought_elsewhere_is_refused(cell: StudyCell, folder: Path) -> None:
    operator = Counting()
    KeyRing.ask(operator, "").check(cell, folder)
    operator.spent[cell.account("")] = 20
    with pytest.raises(ExperimentError, match=r"has bought 20 clips in another folder.*--tag"):
        KeyRing.ask(operator, "").check(cell, folder)
    KeyRing.ask(operator, "again").check(cell, folder)
    KeyRing.ask(operator, "").provide(cell, folder)  # it began here
    KeyRing.ask(operator, "").check(cell, folder)


def test_a_sybil_gets_a_key_for_every_account_and_its_budget_in_all(
    sybil: StudyCell, folder: Path
) -> None:
    operator = Counting()
    KeyRing.ask(operator, "").provide(sybil, folder)
    base = sybil.account("")
    assert {info.account: info.budget for info in operator.issued} == sybil.shares(base)
    assert sum(info.budget or 0 for info in operator.issued) == 20
    assert (folder / KEY_NAME).read_text().splitlines() == [
        f"lab_id{number}_secret_crc" for number in range(3)
    ]
    assert stat.S_IMODE((folder / KEY_NAME).stat().st_mode) == 0o600
    assert read_account(folder) == base
    KeyRing.ask(operator, "later").provide(sybil, folder)
    assert len(operator.issued) == 3


def test_only_the_keys_of_a_sybil_that_are_lost_are_made_anew(
    sybil: StudyCell, folder: Path
) -> None:
    operator = Counting()
    KeyRing.ask(operator, "t").provide(sybil, folder)
    first = (folder / KEY_NAME).read_text().splitlines()
    (folder / KEY_NAME).write_text(f"{first[0]}\nlab_other_secret_crc\n")
    KeyRing.ask(operator, "").provide(sybil, folder)
    again = (folder / KEY_NAME).read_text().splitlines()
    assert again == [first[0], "lab_id3_secret_crc", "lab_id4_secret_crc"]
    names = list(sybil.shares(sybil.account("t")))
    assert [info.account for info in operator.issued] == [*names, *names[1:]]


def test_any_account_of_a_sybil_that_bought_elsewhere_is_refused(
    sybil: StudyCell, folder: Path
) -> None:
    operator = Counting()
    last = list(sybil.shares(sybil.account("")))[-1]
    operator.spent[last] = 6
    with pytest.raises(ExperimentError, match=f"{last} has bought 6 clips in another folder"):
        KeyRing.ask(operator, "").check(sybil, folder)


def test_the_bill_of_a_sybil_is_that_of_all_its_accounts(cell: StudyCell, sybil: StudyCell) -> None:
    operator = Counting()
    operator.spent = {"x-a0": 7, "x-a1": 7, "x-a2": 5, "x": 20}
    assert bill(operator, sybil, "x") == {
        "account": "x",
        "charged": 19,
        "spent_money": 9.5,
        "charged_to": {"x-a0": 7, "x-a1": 7, "x-a2": 5},
    }
    assert bill(operator, cell, "x")["charged"] == 20
