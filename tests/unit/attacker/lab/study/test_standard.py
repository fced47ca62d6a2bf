"""Which requirements a plan covers, by its fields alone."""

from typing import Any

import pytest

from attacker.lab.study.page.sold import Sold
from attacker.lab.study.page.standard import REQUIREMENTS, Cover

WATCHED = {"label_mode": "soft", "detectors": [{"kind": "prada"}]}
SUSPEND, THROTTLE = {"kind": "suspend"}, {"kind": "throttle", "rate_per_s": 5.0, "burst": 10}
NOISE, DAWN, WORK = {"kind": "noise"}, {"kind": "dawn"}, {"kind": "proof_of_work"}
LABELS = 1251


def chain(*kinds: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"label_mode": "soft", "defences": list(kinds), **more}


def ladder(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**WATCHED, "ladder": {"alarms": 2, "steps": list(steps)}, **more}


def degrade(**changes: Any) -> dict[str, Any]:
    return {"kind": "degrade", **changes}


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
    ("11.5.4", {"label_mode": "temperature", "temperature": 2.0}, "not covered"),
    ("11.5.4", {"label_mode": "hard"}, "covered"),
    ("11.5.4", {"label_mode": "rounded", "decimals": 1}, "covered"),
    ("11.5.4", {"label_mode": "rounded", "decimals": 6}, "in part"),
    ("11.5.4", {"label_mode": "top_k", "top_k": 3}, "covered"),
    ("11.5.4", {"label_mode": "top_k", "top_k": 1000}, "in part"),
    ("11.5.4", {"label_mode": "top_k", "top_k": LABELS}, "not covered"),
    ("11.5.4", {"label_mode": "temperature", "defences": [NOISE]}, "in part"),
    ("11.5.4", chain(NOISE), "in part"),
    ("11.5.4", chain(WORK), "not covered"),
    ("11.5.4", chain({"kind": "temperature", "temperature": 2.0}), "not covered"),
    ("11.5.4", chain({"kind": "rounding", "decimals": 1}), "covered"),
    ("11.5.4", chain({"kind": "rounding", "decimals": 6}), "in part"),
    ("11.5.4", chain({"kind": "top_k", "k": LABELS}), "not covered"),
    ("11.5.4", chain({"kind": "top_k", "k": LABELS - 1}), "in part"),
    ("11.5.4", chain({"kind": "top_k", "k": LABELS - 1}, {"kind": "label_only"}), "covered"),
    ("11.5.4", chain({"kind": "confidence_buckets"}, WORK), "covered"),
    ("11.5.4", chain({"kind": "deceptive_labels"}), "covered"),
    ("11.5.5", chain(NOISE), "not covered"),
    ("11.5.5", chain(NOISE, DAWN), "covered"),
    ("11.5.5", chain(DAWN, {"kind": "label_only"}, WORK), "covered"),
    ("11.5.5", chain(DAWN, NOISE), "not covered"),
    ("11.5.5", chain(DAWN, NOISE | {"preserve_argmax": True}), "covered"),
    ("11.5.5", chain(DAWN, {"kind": "mad", "variant": "extreme"}), "not covered"),
    ("11.5.5", chain(DAWN, {"kind": "deceptive_labels"}), "not covered"),
    ("11.5.6", ladder(SUSPEND, detectors=[]), "not covered"),
    ("11.5.6", WATCHED, "not covered"),
    ("11.5.6", ladder(SUSPEND), "covered"),
    ("11.5.6", ladder({"kind": "challenge", "bits": 4}), "covered"),
    ("11.5.6", ladder(degrade(label_mode="soft")), "not covered"),
    ("11.5.6", ladder(degrade(label_mode="soft"), label_mode="hard"), "not covered"),
    ("11.5.6", ladder(degrade(label_mode="hard")), "covered"),
    ("11.5.6", ladder(degrade(label_mode="hard"), label_mode="hard"), "not covered"),
    ("11.5.6", ladder(degrade(label_mode="top_k", top_k=2)), "covered"),
    ("11.5.6", ladder(degrade(label_mode="temperature", temperature=2.0)), "not covered"),
    ("11.5.6", ladder(degrade(defences=[NOISE])), "covered"),
    ("11.5.6", ladder(degrade(defences=[WORK])), "covered"),
    ("11.5.6", ladder(degrade(defences=[{"kind": "mad"}]), label_mode="hard"), "not covered"),
    ("11.5.6", ladder(degrade(defences=[NOISE]), label_mode="hard"), "covered"),
    ("11.5.6", ladder(THROTTLE), "covered"),
    ("11.5.6", ladder(THROTTLE, rate_per_s=5.0, burst=10), "not covered"),
]


@pytest.mark.parametrize(("number", "plan", "cover"), CASES)
def test_cover_by_fields(number: str, plan: dict[str, Any], cover: Cover) -> None:
    (asked,) = [one for one in REQUIREMENTS if one.draft == number]
    found, why = asked.find(Sold(plan, LABELS))
    assert found == cover, why
    assert why


def test_every_requirement_can_go_both_ways() -> None:
    seen = {(number, cover == "not covered") for number, _, cover in CASES}
    assert seen == {(one.draft, way) for one in REQUIREMENTS for way in (True, False)}


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (chain(WORK), "all probabilities leave (label mode soft)"),
        (chain(NOISE, WORK), "all probabilities leave (label mode soft), changed by noise"),
        (chain({"kind": "deceptive_labels"}), "only a label leaves (deceptive_labels)"),
        (
            {"label_mode": "top_k", "top_k": 1000},
            "the 1,000 of 1,251 largest probabilities leave (label mode top_k)",
        ),
        (
            {"label_mode": "rounded", "decimals": 6},
            "all probabilities leave, to 6 decimals (label mode rounded)",
        ),
    ],
)
def test_what_leaves_is_said_as_it_is(plan: dict[str, Any], words: str) -> None:
    (asked,) = [one for one in REQUIREMENTS if one.draft == "11.5.4"]
    assert asked.find(Sold(plan, LABELS))[1] == words


def test_idle_steps_are_not_named_among_the_measures() -> None:
    (asked,) = [one for one in REQUIREMENTS if one.draft == "11.5.6"]
    plan = ladder(degrade(label_mode="soft"), degrade(label_mode="hard"), SUSPEND)
    assert asked.find(Sold(plan))[1] == "ladder degrade, suspend after 2 alarms a step"


def test_few_of_few_labels_are_most_of_them() -> None:
    (asked,) = [one for one in REQUIREMENTS if one.draft == "11.5.4"]
    plan = {"label_mode": "top_k", "top_k": 5}
    covers = [asked.find(Sold(plan, labels))[0] for labels in (None, 30, 10, 6, 5)]
    assert covers == ["covered", "covered", "in part", "in part", "not covered"]
