from pathlib import Path

import pytest

from attacker.lab.report.card import card_rows, hide_keys
from attacker.lab.report.words import (
    choose_subject,
    count,
    headline,
    percent,
    points,
    points_spread,
    reconciliation,
    short,
    squeeze,
)
from attacker.lab.results import Estimate
from tests.support.lab_world import campaign, findings, run

RIVALS = (campaign(), campaign("wavegan", source="wavegan"))


@pytest.mark.parametrize(
    ("wavegan", "proxy", "mood", "said"),
    [
        (0.95, 0.4, "above", "wavegan is above proxy-only: +"),
        (0.4, 0.95, "below", "wavegan is not above proxy-only but below it: \u2212"),
        (0.7, 0.7, "undecided", "wavegan is not shown to be above proxy-only. Not decided: "),
    ],
)
def test_the_verdict_is_said_plainly(
    tmp_path: Path, wavegan: float, proxy: float, mood: str, said: str
) -> None:
    results = findings(run(tmp_path, *RIVALS), {"wavegan": wavegan, "proxy-only": proxy}).results
    found = headline(results)
    assert found.mood == mood == results.comparisons[-1].accuracy_verdict
    text = found.verdict.replace("\u00a0", " ")
    assert said in text
    assert text.startswith("At 300 queries ")
    item = results.comparisons[-1].accuracy
    assert f"95 % interval {points_spread(item)}" in text


@pytest.mark.parametrize("best", ["wavegan", "proxy-only"])
def test_the_finding_names_cost_and_fidelity_of_the_worst_leak(tmp_path: Path, best: str) -> None:
    results = findings(
        run(tmp_path, *RIVALS), {"wavegan": 0.5, "proxy-only": 0.5, best: 0.9}
    ).results
    last = results.campaign(best).last
    assert last is not None
    assert headline(results).finding == (
        f"For 300\u00a0queries, {best} bought a copy that gives the victim's own answer on "
        f"{percent(last.fidelity.value)} of unseen clips."
    )


def test_the_verdict_is_about_wavegan_then_any_rival_then_the_baseline(tmp_path: Path) -> None:
    noise = campaign("noise", source="gaussian_noise")
    for campaigns, name in (
        ((RIVALS[0], noise, RIVALS[1]), "wavegan"),
        ((RIVALS[0], noise), "noise"),
        ((RIVALS[0],), "proxy-only"),
    ):
        subject = choose_subject(findings(run(tmp_path, *campaigns)).results)
        assert subject is not None
        assert subject.name == name


def test_numbers_are_written_for_people() -> None:
    assert percent(0.1234) == "12.3\u00a0%"
    assert (points(0.051), points(-0.051), points(0.0), points(-0.0004)) == (
        "+5.1",
        "\u22125.1",
        "0.0",
        "0.0",
    )
    assert points_spread(Estimate(value=0, low=-0.01, high=0.02)) == "\u22121.0 to +2.0"
    assert (count(1, "query"), count(1500, "query"), count(2, "clip")) == (
        "1\u00a0query",
        "1,500\u00a0queries",
        "2\u00a0clips",
    )
    assert short("a\nlong   name of a thing", 8) == "a long …"
    assert squeeze("en-gb-scotland-jacky-p45", 11) == "en-gb…y-p45"
    assert squeeze("anna", 11) == "anna"


def test_keys_are_left_out_of_commands_and_cards() -> None:
    key = "lab_ab12_" + "x" * 32 + "_c0de"
    for text in (f"run --key {key}", f"run --audit-key={key}", f"run '{key}'", "run --key hunter2"):
        assert key not in hide_keys(text)
        assert "hunter2" not in hide_keys(text)
    rows = dict(card_rows({"a": {"api_key": "secret", "b": [1, 2]}, "command": f"x --key {key}"}))
    assert rows == {"a.api_key": "(not shown)", "a.b": "1 2", "command": "x --key $KEY"}


def test_a_card_keeps_what_is_no_secret() -> None:
    card = {"commit": "abc", "lock_sha256": None, "labels": ["s"] * 50, "monkey": "m"}
    rows = dict(card_rows(card))
    assert rows["commit"] == "abc"
    assert rows["lock_sha256"] == "none"
    assert rows["monkey"] == "m"
    assert rows["labels"].endswith("(50 in all)")


def test_a_key_that_was_refused_is_not_called_missing(tmp_path: Path) -> None:
    results = findings(run(tmp_path)).results
    assert "without the key that paid" in reconciliation(results)
    problem = "the victim refused (unauthorized): no such key."
    text = reconciliation(results.model_copy(update={"account_problem": problem}))
    assert f"A key was given, but the ledger could not be asked: {problem}" in text
    assert "without the key" not in text
