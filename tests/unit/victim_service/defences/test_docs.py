"""docs/defences.md names every kind, tells what its spec promises, and its plans can be sold."""

import re
from pathlib import Path

import pytest
import yaml

from shared.config import validate
from tests.support.defence_examples import EXAMPLES
from victim_service.defences import DEFENCES
from victim_service.plans import Plan

PAGE = (Path(__file__).parents[4] / "docs" / "defences.md").read_text(encoding="utf-8")
PLANS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def row_of(kind: str) -> list[str]:
    found = re.findall(rf"^\| `{kind}` \|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in found[0].split("|")]


@pytest.mark.parametrize("kind", DEFENCES)
def test_the_table_tells_settings_and_promises(kind):
    _, settings, bound, kept, draws = row_of(kind)
    fields = set(DEFENCES[kind].model_fields) - {"kind"}
    assert set(re.findall(r"`(\w+)`", settings)) == fields
    promises = {spec.argmax_kept for spec in EXAMPLES[kind]}
    assert {"yes": {True}, "": {False}}.get(kept, {True, False}) == promises
    bounded = {spec.l1_bound is not None for spec in EXAMPLES[kind]}
    assert {"`epsilon`": {True}, "": {False}}.get(bound, {True, False}) == bounded
    assert (draws == "yes") == DEFENCES[kind].draws


@pytest.mark.parametrize("kind", DEFENCES)
def test_every_defence_has_its_attack_and_its_place_in_a_chain(kind):
    attacks, chains = PAGE.split("## What answers")[1].split("## Chains")
    assert f"`{kind}`" in attacks.split("## Settings")[0]
    assert f"`{kind}`" in chains.split("| rows tell |")[1]
    assert f"| {kind} |" in PAGE.split("## Time")[1]


def test_the_plans_of_the_page_can_be_sold():
    assert len(PLANS) >= 3
    for text in PLANS:
        assert validate(yaml.safe_load(text), Plan, origin="docs/defences.md").defences
