"""The shipped studies against the victim's own words: every plan can be sold and is answered."""

import json
from collections import Counter
from pathlib import Path

import pytest

from attacker.lab.study.file import load_study
from attacker.lab.study.page.theft import POLICIES
from attacker.lab.study.page.told import told
from attacker.lab.study.resolve import distinct, resolve
from attacker.lab.study.schema import Study
from victim_service.plans import read_plan

STUDIES = Path(__file__).parents[2] / "attacker" / "experiments" / "studies"


@pytest.fixture(params=sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param, "desk")


def test_the_victim_would_sell_every_plan(study: Study) -> None:
    for cell in resolve(study):
        plan = read_plan(json.dumps({"name": cell.plan.name, **cell.plan.document}), "study")
        assert plan.label_mode == cell.plan.mode.label_mode
        assert plan.price_per_clip == cell.plan.spec.price_per_clip


def test_who_is_said_to_know_a_defence_knows_the_one_that_is_there(study: Study) -> None:
    known = [(cell, cell.cell.experiment.knowledge.known_defence) for cell in resolve(study)]
    named = [(cell, spec) for cell, spec in known if spec is not None]
    assert named or not any(plan.defences for plan in study.plans)
    for cell, spec in named:
        (defence,) = cell.plan.spec.defences
        assert spec.model_dump(exclude_unset=True) == defence


def test_every_plan_that_can_be_answered_is(study: Study) -> None:
    cells = resolve(study)
    for plan in {cell.plan.name: cell.plan for cell in cells}.values():
        own = [cell for cell in cells if cell.plan == plan]
        naive = {cell.cell.identity for cell in own if not cell.attacker.adaptive}
        answers = {c.cell.identity for c in own if c.attacker.adaptive} - naive
        policies = any(plan.document.get(name) for name in POLICIES)
        if policies or told(plan.document).changed_by:
            assert len(answers) == len(study.seeds) * len(study.budgets), plan.name


def test_the_study_of_budgets_is_as_large_as_it_says() -> None:
    study = load_study(STUDIES / "query-budget.yaml", "desk")
    cells = distinct(resolve(study))
    defended = [cell for cell in cells if cell.plan.spec.defences]
    assert len(defended) >= 96
    kinds = {defence["kind"] for cell in defended for defence in cell.plan.spec.defences}
    assert len(kinds) >= 6
    assert Counter(cell.seed for cell in cells).keys() == {0, 1}
    assert {cell.plan.mode.label_mode for cell in cells} == {"soft", "hard"}
    for cell in defended:  # each defence is answered in one of the modes at least
        rivals = [c for c in defended if c.plan.spec == cell.plan.spec and c.attacker.adaptive]
        assert rivals


def test_the_study_of_sybils_puts_one_account_beside_four() -> None:
    study = load_study(STUDIES / "sybil.yaml", "desk")
    for plan in study.plans:
        cells = [cell for cell in resolve(study) if cell.plan.spec == plan]
        assert [len(cell.shares("x")) for cell in cells] == [1, 4]
        assert {sum(cell.shares("x").values()) for cell in cells} == {80}
    policies = {name for plan in study.plans for name in plan.plan}
    assert policies == {"account_budget", "speaker_cap"}
