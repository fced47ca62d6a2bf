"""The report as a page: complete, self-contained, escaped, and there for every kind of run."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from attacker.lab.evaluate import Findings
from attacker.lab.records import CampaignRecord, RemakeError, RunRecord
from attacker.lab.report.builder import build_report, color_order
from attacker.lab.report.sounds import SoundTable
from attacker.lab.report.speakers import label_histograms
from attacker.lab.results import Account
from tests.support.html_page import Page
from tests.support.lab_world import NAMES, campaign, findings, page, run

SECTIONS = {
    "figures", "curve", "labels", "coverage", "confusion", "speakers", "clips", "spend",
    "experiment", "reproduce", "card",
}  # fmt: skip
HOSTILE = "<script>alert('x')</script>&\"$x_1$"


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of an ordinary run."""
    return page(run(tmp_path_factory.mktemp("run")))


def test_every_section_is_there_once_and_linked(html: str) -> None:
    found = Page(html)
    assert [i for i in found.values("id", "section") if i in SECTIONS] == found.values(
        "id", "section"
    )
    assert set(found.values("id", "section")) == SECTIONS
    assert {link.lstrip("#") for link in found.values("href", "a")} == SECTIONS - {"figures"}


def test_it_refers_to_nothing_outside(html: str) -> None:
    found = Page(html)
    for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
        for value in found.values(name):
            assert value.startswith(("data:", "#")), (name, value[:80])
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|data:)", html)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in found.tags}
    assert not re.search(r"https?://", html)


def test_ids_are_unique_and_every_reference_has_one(html: str) -> None:
    found = Page(html)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    wanted = [value[1:] for value in found.values("href") if value.startswith("#")]
    wanted += re.findall(r"url\(#([^)]+)\)", html)
    assert set(wanted) <= set(ids)


def test_figures_keep_text_and_take_the_colours_of_the_page(html: str) -> None:
    found = Page(html)
    labels = found.values("aria-label", "svg")
    assert len(labels) == 5
    assert all(len(label) > 20 for label in labels)
    assert "#0b0b" not in html
    for variable in ("--ink", "--muted", "--series-0", "--series-1"):
        assert f"var({variable})" in html
    text = " ".join(found.text)
    assert "Fidelity: agreement with the victim" in text
    assert "chance 16.7" in text.replace("\u00a0", " ")
    for name in NAMES:
        assert name in found.text


def test_each_figure_has_a_caption(html: str) -> None:
    tags = [tag for tag, _ in Page(html).tags]
    assert tags.count("figure") == tags.count("figcaption") == 5


def test_it_has_a_dark_mode_and_a_print_style(html: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media print" in html


def test_clips_can_be_played_and_seen(html: str) -> None:
    found = Page(html)
    sounds, pictures = found.values("src", "audio"), found.values("src", "img")
    assert len(sounds) == len(pictures) == 9
    assert all(sound.startswith("data:audio/wav;base64,") for sound in sounds)
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert all(found.values("alt", "img"))


def test_the_numbers_of_the_results_are_on_the_page(tmp_path: Path) -> None:
    record = run(tmp_path)
    found = findings(record)
    text = " ".join(Page(page(record, found)).text).replace("\u00a0", " ")
    for item in found.results.campaigns:
        for mark in item.marks:
            assert f"{100 * mark.accuracy.value:.1f} %" in text
            assert f"{100 * mark.fidelity.low:.1f} to {100 * mark.fidelity.high:.1f} %" in text
    assert "commit" in text
    assert "abc1234" in text
    assert "name: invented" in text
    assert "earshot-attacker report runs/invented" in text
    assert "rate-limited × 3" in text


def test_it_is_small_even_with_many_speakers_and_queries(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 100_000)
    many = campaign(
        labels=labels,
        kept=rng.random(100_000) < 0.5,
        confidence=rng.random(100_000).astype(np.float32),
        remake=lambda positions: np.zeros((len(positions), 1024), np.float32),
    )
    assert len(page(run(tmp_path, many))) < 5 * 2**20


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    bad = campaign(HOSTILE, source=HOSTILE, sampler=HOSTILE, stopped=HOSTILE, refusals={HOSTILE: 1})
    record = run(
        tmp_path,
        bad,
        name=HOSTILE,
        experiment_yaml=HOSTILE,
        card={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
    )
    found = findings(record)
    speakers = found.results.victim.model_copy(update={"labels": (HOSTILE, *NAMES[1:])})
    found = dataclasses.replace(
        found, results=found.results.model_copy(update={"victim": speakers})
    )
    html = page(record, found)
    parsed = Page(html)
    assert not {"script", "iframe"} & {tag for tag, _ in parsed.tags}
    assert "<script" not in html
    assert HOSTILE in "".join(parsed.text)
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]


BARE: dict[str, object] = {
    "labels": np.zeros(0, np.int64),
    "kept": np.zeros(0, bool),
    "confidence": np.zeros(0, np.float32),
    "surrogates": (),
}
NONE_KEPT = np.zeros(300, bool)
DEGENERATE: dict[str, tuple[tuple[CampaignRecord, ...], tuple[str, ...]]] = {
    "stopped early": (
        (campaign(budget=500, stopped="the account's budget was spent"),),
        ("stopped after 300 of 500 queries: the account's budget was spent", "nothing to compare"),
    ),
    "one campaign, no baseline": (
        (campaign("wavegan", source="wavegan"),),
        ("has no proxy-only campaign",),
    ),
    "nothing kept": (
        (campaign(), campaign("wavegan", source="wavegan", kept=NONE_KEPT, surrogates=())),
        ("kept none of its 300", "wavegan has no surrogate"),
    ),
    "no surrogate": (
        (campaign(surrogates=()),),
        ("No surrogate was trained: the campaigns bought 300", "there is no curve to draw"),
    ),
    "nothing asked": (
        (campaign(**BARE),),
        ("No query was answered, so there are no labels to count", "bought 0"),
    ),
    "no mark in common": (
        (campaign(), campaign("wavegan", source="wavegan", surrogates=(
            dataclasses.replace(campaign("wavegan").surrogates[0], queries=150),))),
        ("cannot be compared with proxy-only",),
    ),
    "hard labels": (
        (campaign(confidence=np.full(300, np.nan, np.float32)),),
        ("label only",),
    ),
    "no threshold": ((campaign(cap=None, sampler="keep_all"),), ("keep_all",)),
    "one answer": (
        (campaign(**{**BARE, "labels": np.array([2]), "kept": np.array([True]),
                     "confidence": np.array([0.9], np.float32)}),),
        ("bought 1", "no label reached its cap"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEGENERATE)
def test_an_unusual_run_still_has_a_report_that_says_so(tmp_path: Path, kind: str) -> None:
    campaigns, sentences = DEGENERATE[kind]
    found = Page(page(run(tmp_path, *campaigns)))
    text = re.sub(r"\s+", " ", " ".join(found.text).replace("\u00a0", " "))
    assert set(found.values("id", "section")) == SECTIONS
    for sentence in sentences:
        assert sentence in text


def test_clips_that_cannot_be_made_again_are_named(tmp_path: Path) -> None:
    def gone(positions: object) -> np.ndarray:
        raise RemakeError("the proxy corpus is not there. Name its folder.")

    text = " ".join(Page(page(run(tmp_path, campaign(remake=gone)))).text)
    assert "clips of proxy-only could not be made again: the proxy corpus is not there" in text


def with_account(record: RunRecord, found: Findings, spent: int) -> str:
    account = Account(account="a", plan="soft", budget=None, spent=spent, price_per_clip=0.5)
    results = found.results.model_copy(update={"account": account})
    html = page(record, dataclasses.replace(found, results=results))
    return " ".join(Page(html).text).replace("\u00a0", " ")


def test_ledger_and_journal_are_reconciled(tmp_path: Path) -> None:
    record = run(tmp_path)
    found = findings(record)
    agreed = with_account(record, found, 600)
    assert "charged 600 clips and the journal holds 600 answers: they agree" in agreed
    assert "cost 150.00" in agreed
    assert "100 more than the 600 answers" in with_account(record, found, 700)
    assert "100 fewer than the 600 answers" in with_account(record, found, 500)
    assert "The ledger was not asked" in page(record, found)


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    record = run(tmp_path)
    path = build_report(record, findings(record), SoundTable((), ()), ("one", "two"))
    assert path == tmp_path / "report.html"
    assert path.read_text().rstrip().endswith("</html>")


def test_the_baseline_has_the_first_colour(tmp_path: Path) -> None:
    record = run(tmp_path, campaign("wavegan", source="wavegan"), campaign("b"))
    assert color_order(findings(record).results) == ["b", "wavegan"]


def test_many_speakers_are_drawn_as_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacker.lab.report.speakers.NAMED", 4)
    text = " ".join(Page(page(run(tmp_path))).text)
    assert "labels, most frequent first" in text
    assert "each line in its own order" in text


def test_the_histogram_shows_answers_before_and_after_thresholding(tmp_path: Path) -> None:
    record = campaign()
    figure = label_histograms((record,), list(NAMES), {record.name: "#000000"})
    (axes,) = figure.axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    order = np.argsort(-np.bincount(record.labels, minlength=len(NAMES)), kind="stable")
    for shown, labels in zip(heights, (record.labels, record.labels[record.kept]), strict=True):
        assert shown == np.bincount(labels, minlength=len(NAMES))[order].tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "answered",
        "kept for training",
    ]
