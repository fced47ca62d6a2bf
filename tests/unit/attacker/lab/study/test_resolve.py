"""From a study to cells: which are the same attack, and what their names depend on."""

from pathlib import Path
from typing import Any

import pytest

from attacker.lab.study.file import load_study
from attacker.lab.study.resolve import StudyCell, distinct, resolve
from tests.support.studies import CELLS, DISTINCT, write_study


def cells(path: Path, **changes: Any) -> dict[str, StudyCell]:
    study = load_study(write_study(path / "t.yaml", **changes), "desk")
    return {one.name: one for one in resolve(study)}


def test_equal_attacks_share_a_cell_and_others_do_not(tmp_path: Path) -> None:
    found = cells(tmp_path)
    assert (len(found), len(distinct(tuple(found.values())))) == (CELLS, DISTINCT)
    same = found["none-soft-b20-naive-s0"], found["none-soft-b20-adaptive-s0"]
    assert same[0].cell is same[1].cell
    other = found["noise-hard-b20-naive-s0"], found["noise-hard-b20-adaptive-s0"]
    assert other[0].cell.identity != other[1].cell.identity


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({}, False),
        ({"title": "Another"}, False),
        ({"plans__1__label": "Another"}, False),
        ({"attackers__0__id": "innocent"}, False),
        ({"budgets": [20, 40, 60]}, False),
        ({"attackers__0__query": {"accounts": 1, "spread": "in_turn"}}, False),
        ({"attackers__0__query": {"accounts": 2}}, True),
        ({"plans__1__defences": [{"kind": "noise", "scale": 2.0}]}, True),
        ({"plans__1__price_per_clip": 3.0}, True),
        ({"plans__1__plan": {"rate_per_s": 5.0, "burst": 9}}, True),
        ({"plans__1__id": "din", "attackers__1__by_plan": {}}, True),
        ({"surrogate__recipe__epochs": 7}, True),
        ({"seeds": [1]}, True),
    ],
)
def test_an_identity_is_what_is_sold_and_what_is_done_with_it(
    tmp_path: Path, changes: dict[str, Any], moved: bool
) -> None:
    before = cells(tmp_path)["noise-hard-b20-naive-s0"]
    (after,) = (
        one
        for one in cells(tmp_path, **changes).values()
        if one.attacker.id != "adaptive" and one.budget == 20 and one.plan.spec.id != "none"
    )
    assert (after.cell.identity != before.cell.identity) == moved
    assert (after.account("") != before.account("")) == moved


def test_a_plan_of_another_content_is_another_plan_and_not_a_version(tmp_path: Path) -> None:
    before = cells(tmp_path)["noise-hard-b20-naive-s0"].plan.name
    dearer = cells(tmp_path, plans__1__price_per_clip=3.0)["noise-hard-b20-naive-s0"].plan.name
    assert before.startswith("study-noise-hard-")
    assert before != dearer


def test_names_fit_the_wire_however_long_ids_are(tmp_path: Path) -> None:
    longest = "a" * 24
    plan = {"id": longest, "label": "", "label_modes": [longest]}
    mode = {"id": longest, "label_mode": "soft"}
    found = cells(
        tmp_path, plans=[plan], label_modes=[mode], attackers__1__by_plan={},
        attackers__0__id=longest, seeds=[2**31], budgets=[10**9], by_budget={},
        attackers__0__query={"accounts": 64},
    )  # fmt: skip
    assert len(found) == 2
    for one in found.values():
        assert len(one.plan.name) <= 64
        names = one.shares(one.account("t" * 10))
        assert {len(name) <= 64 for name in names} == {True}
        assert len(names) == one.cell.experiment.query.accounts
        assert len(one.cell.name) <= 64


def test_the_accounts_of_a_sybil_share_its_budget(tmp_path: Path) -> None:
    found = cells(tmp_path, attackers__0__query={"accounts": 3})
    sybil, lone = found["none-soft-b20-naive-s0"], found["none-soft-b20-adaptive-s0"]
    assert sybil.shares("x") == {"x-a0": 7, "x-a1": 7, "x-a2": 6}
    assert lone.shares("x") == {"x": 20}
    assert sybil.cell.identity != lone.cell.identity
