"""Which requirements a plan covers, by its fields alone."""

from typing import Any

import pytest

from attacker.lab.study.page.standard import REQUIREMENTS, Cover

WATCHED = {"detectors": [{"kind": "prada"}]}
LADDER = {"ladder": {"alarms": 2, "steps": [{"kind": "suspend"}]}}
CASES: list[tuple[str, dict[str, Any], Cover]] = [
    ("11.5.1", {}, "not covered"),
    ("11.5.1", {"budget": None}, "not covered"),
    ("11.5.1", {"budget": 0}, "in part"),
    ("11.5.1", {"rate_per_s": 5.0, "daily_budget": 100}, "in part"),
    ("11.5.2", {}, "not covered"),
    ("11.5.2", WATCHED, "covered"),
    ("11.5.3", {"detectors": []}, "not covered"),
    ("11.5.3", WATCHED, "covered"),
    ("11.5.4", {"label_mode": "soft"}, "not covered"),
    ("11.5.4", {"label_mode": "temperature"}, "not covered"),
    ("11.5.4", {"label_mode": "soft", "defences": [{"kind": "noise"}]}, "in part"),
    ("11.5.4", {"label_mode": "soft", "defences": [{"kind": "rounding"}]}, "covered"),
    ("11.5.4", {"label_mode": "hard"}, "covered"),
    ("11.5.5", {"defences": [{"kind": "noise"}]}, "not covered"),
    ("11.5.5", {"defences": [{"kind": "noise"}, {"kind": "dawn"}]}, "covered"),
    ("11.5.6", LADDER, "not covered"),
    ("11.5.6", WATCHED, "not covered"),
    ("11.5.6", WATCHED | LADDER, "covered"),
]


@pytest.mark.parametrize(("number", "plan", "cover"), CASES)
def test_cover_by_fields(number: str, plan: dict[str, Any], cover: Cover) -> None:
    (asked,) = [one for one in REQUIREMENTS if one.draft == number]
    found, why = asked.find(plan)
    assert found == cover
    assert why


def test_every_requirement_can_go_both_ways() -> None:
    seen = {(number, cover == "not covered") for number, _, cover in CASES}
    assert seen == {(one.draft, way) for one in REQUIREMENTS for way in (True, False)}
