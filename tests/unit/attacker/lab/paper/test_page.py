"""The page as a page: complete, self-contained, escaped, and there for every kind of table."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacker.lab.paper import line_words, trends, words
from attacker.lab.paper.claims import RULES
from attacker.lab.paper.findings import Check, PaperResults, TableResult
from attacker.lab.paper.markdown import render_markdown
from attacker.lab.paper.page import commands, render
from attacker.tables.file import load_table
from tests.support.html_page import Page
from tests.support.paper_world import (
    VICTIM,
    cell,
    paper_results,
    score,
    table_result,
    volume_of,
)

TABLES = Path(__file__).parents[5] / "attacker" / "experiments" / "paper"
HOSTILE = "<script>alert('x')</script>&\"$x_1$|"


def invented(name: str, **changes: Any) -> TableResult:
    """Return the paper's table ``name`` with invented figures for every row."""
    table = load_table(TABLES / f"{name}.yaml", "desk")
    rng = np.random.default_rng(len(name))
    cells = {}
    for row in table.rows:
        mean = (row.paper.accuracy or 50) / 110 + 0.03
        cells[row.id] = [
            cell(seed, score(mean + rng.normal(0, 0.01), 0.9, volume_of(row), row.budget))
            for seed in table.seeds
        ]
    return table_result(table, {**cells, **changes})


@pytest.fixture(scope="module")
def results() -> PaperResults:
    """Three tables, one of which lacks cells."""
    lost = [
        cell(0, score(0.3)),
        cell(1, None, state="failed", reason="no disk <b>"),
        cell(2, None, state="not run", reason="not run yet"),
    ]
    changes = {"b2-p1-s2": lost, "b3": [cell(seed, None) for seed in range(3)]}
    return paper_results(invented("table1", **changes), invented("table4"), invented("figure1"))


@pytest.fixture(scope="module")
def html(results: PaperResults) -> str:
    """The page of ``results``."""
    return render(results)


def plain(text: str) -> str:
    """Return ``text`` without tags, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).replace("\u00a0", " ").split())


def test_every_table_and_every_row_is_there(html: str, results: PaperResults) -> None:
    page = Page(html)
    sections = page.values("id", "section")
    anchors = [table.anchor for table in results.tables]
    assert sections == ["trends", *anchors, "checks", "rules", "reproduce"]
    links = {link.lstrip("#") for link in page.values("href", "a")}
    assert links == {*anchors, "checks", "rules", "reproduce"}
    for table in results.tables:
        for row in table.rows:
            assert row.id in page.text
            assert any(row.label in text for text in page.text)


def test_it_refers_to_nothing_outside(html: str) -> None:
    page = Page(html)
    for name in ("src", "href", "action", "data", "xlink:href"):
        for value in page.values(name):
            assert value.startswith(("data:", "#")), (name, value[:80])
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|data:)", html)
    assert not re.search(r"https?://", html)


def test_ids_are_unique_and_colours_are_the_pages_own(html: str) -> None:
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert "#0b0b" not in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert len(page.values("aria-label", "svg")) == 4  # three of rows or layers, one of caps


def test_the_papers_figures_stand_beside_ours(html: str) -> None:
    text = plain(html)
    assert "Volume Coverage Accuracy" in text
    assert "Row paper here paper here paper here Fidelity Queries Seeds" in text
    for printed in ("138,361", "64.80 %", "0.00 %", "37,563", "64.2 %", "39.84 %"):
        assert printed in text


def test_a_figure_that_the_paper_never_printed_has_no_column(results: PaperResults) -> None:
    text = plain(render(paper_results(results.tables[2])))
    assert "Row here here here Fidelity Queries Seeds" in text
    assert words.shown(results.tables[2]) == [
        ("volume", False), ("coverage", False), ("accuracy", False),
    ]  # fmt: skip


def test_lost_cells_are_shown_as_lost(html: str) -> None:
    text = plain(html)
    assert "1 of 3 1 failed 1 not run" in text
    assert "0 of 3 3 not run" in text
    assert "no disk &lt;b&gt;" in html
    assert "23 of 27 cells are done" not in text
    assert "22 of 27 cells are done" in text


def test_every_trend_is_marked_and_its_rule_is_stated(html: str, results: PaperResults) -> None:
    text = plain(html)
    for decision in trends.of_paper(results):
        assert text.count(decision.text) >= 2  # at a glance, and with its evidence
    for rule in RULES.values():
        assert plain(rule) in text
    tags = re.findall(r'<span class="tag ([a-z-]+)">', html)
    decisions = list(trends.of_paper(results))
    slugs = [decision.verdict.replace(" ", "-") for decision in decisions]
    assert tags[: len(slugs)] == slugs
    assert f"Of {len(decisions)} trends that the paper states" in text


def test_lost_values_of_the_paper_are_marked_as_ours(html: str) -> None:
    text = plain(html)
    for setting in ("p = 0.5 †", "A = 2 †", "alpha = 0.5 †", "tau = 150 †"):
        assert setting in text
    assert text.count("† The published value is lost") == 2  # figure1 has no such setting


def test_a_note_that_all_rows_share_is_said_once(results: PaperResults) -> None:
    table = results.tables[1]
    note = table.rows[0].note
    assert words.common_note(table) == note
    assert plain(render(paper_results(table))).count(note) == 1
    assert words.common_note(results.tables[0]) == ""


def test_a_leak_is_loud() -> None:
    leak = "table2, row e1: 3 of the 960 test files are among its 332 clips."
    html = render(paper_results(invented("table2"), leaks=(leak,)))
    assert html.index('role="alert"') < html.index('class="tally"')
    assert leak in html
    assert 'role="alert"' not in render(paper_results(invented("table2")))
    assert f"**The ruler has leaked: {leak}**" in render_markdown(
        paper_results(invented("table2"), leaks=(leak,))
    )


def test_a_failed_check_is_loud() -> None:
    failed = Check(name="at_chance", text="Noise is at chance", verdict="failed", detail="50 %.")
    html = render(paper_results(invented("table2"), checks=(failed,)))
    assert plain(html).count("Noise is at chance") == 2
    assert html.index('role="alert"') < html.index('class="tally"')


def test_a_table_that_was_not_measured_is_listed() -> None:
    problem = "give --bundle of victim beefbeefbeef"
    unknown = VICTIM.model_copy(
        update={"problem": problem, "accuracy": None, "test_clips": None, "checkpoint": "be" * 32}
    )
    table = load_table(TABLES / "table7.yaml", "desk")
    results = paper_results(table_result(table, {}, unknown))
    html = render(results)
    assert f"Not measured: {problem}" in html
    assert "No table could be measured yet." in html
    assert "(not measured)" in html
    assert 'class="tally"' not in html
    assert f"Not measured: {problem}" in render_markdown(results)


def test_hostile_names_are_text(results: PaperResults) -> None:
    table = results.tables[0]
    row = table.rows[0].model_copy(update={"label": HOSTILE, "note": HOSTILE})
    decision = table.decisions[0].model_copy(update={"text": HOSTILE})
    changed = table.model_copy(
        update={
            "title": HOSTILE, "rows": (row, *table.rows[1:]), "command": HOSTILE,
            "decisions": (decision,),
        }
    )  # fmt: skip
    html = render(paper_results(changed, warnings=(HOSTILE,)))
    assert "<script" not in html
    Page(html)
    markdown = render_markdown(paper_results(changed))
    assert markdown.count("\\|") >= 1


def test_what_the_paper_does_not_say_stands_under_a_heading_of_its_own() -> None:
    """A claim of ours in a table of the paper, and all claims of a table that it does not print."""
    theirs, mine = "What the paper says of it", "What we asked of it"
    mixed, own = invented("table3"), invented("efficiency")
    for table, of_paper, of_ours in ((mixed, 5, 1), (own, 0, 10)):
        assert (len(table.of_paper), len(table.of_ours)) == (of_paper, of_ours)
        for text in (plain(render(paper_results(table))), render_markdown(paper_results(table))):
            assert (theirs in text, mine in text) == (of_paper > 0, True)
            after = text[text.index(mine) :]
            assert all(one.text in after for one in table.of_ours)
            assert not any(f"{one.text} (" in after for one in table.of_paper)
    both = paper_results(mixed, own)
    assert "Of 5 trends that the paper states" in plain(trends.headline(both))
    assert "Of 11 trends that we asked about" in plain(trends.headline(both))
    assert plain(render(both)).count("asked by us") == 11 + 1  # at a glance, and in the rules
    bare = [one.model_copy(update={"ours": False}) for one in own.decisions]
    earlier = own.model_copy(update={"decisions": tuple(bare)})  # what was run before `ours` was
    assert theirs not in render(paper_results(earlier))


def test_one_seed_is_one_seed() -> None:
    results = paper_results(curve(1))
    for text in (plain(render(results)), render_markdown(results)):
        assert "1 seed;" in text
        assert "1 seeds" not in text
    assert "3 seeds;" in plain(render(paper_results(curve(3))))


def test_what_all_seeds_share_is_said_to_be_no_part_of_an_interval(
    html: str, results: PaperResults
) -> None:
    for text in (plain(html), render_markdown(results)):
        assert "Intervals leave out the luck of a generator and of a source model" in text
        assert "one WaveGAN" in text


HEIGHTS = {"q1000": 0.5, "q3000": 0.857, "q10000": 0.92}


def curve(seeds: int) -> TableResult:
    """Return the shipped curve, of which the last row has not run."""
    table = load_table(TABLES / "curve.yaml", "desk").model_copy(
        update={"seeds": tuple(range(seeds))}
    )
    cells = {
        name: [cell(n, score(height + 0.004 * n, bought=int(name[1:]))) for n in range(seeds)]
        for name, height in HEIGHTS.items()
    }
    return table_result(table, cells)


def test_rows_of_several_budgets_are_one_curve() -> None:
    found = curve(3)
    (line,) = found.lines
    assert [point.reach for point in line.points] == [
        "not reached", "not decided", "reached", "not decided"
    ]  # fmt: skip
    html, markdown = render(paper_results(found)), render_markdown(paper_results(found))
    assert any("Accuracy against queries of" in text for text in Page(html).values("aria-label"))
    told = (
        "not reached at 1,000; not decided at 3,000; reached at 10,000; not decided at 30,000 "
        "queries"
    )
    for text in (plain(html), markdown):
        assert "Accuracy by queries" in text
        assert told in text
        assert "after 30,000 queries: no seed has a surrogate there" in text
        assert "n = 3)" in text
    assert "| accuracy after | 1,000 | 3,000 | 10,000 | 30,000 |" in markdown
    (drawn,) = line_words.drawn(found.lines)
    assert drawn.points[-1].queries == 10000


def test_one_seed_never_reaches_anything() -> None:
    found = curve(1)
    assert {point.reach for point in found.lines[0].points} == {"not decided"}
    html = render(paper_results(found))
    assert "not decided at 1,000 to 30,000 queries" in plain(html)
    assert 'class="tag reached"' not in html
    assert any("Accuracy against queries of" in text for text in Page(html).values("aria-label"))


def test_a_row_with_several_marks_is_a_curve(results: PaperResults) -> None:
    table = load_table(TABLES / "table1.yaml", "desk")
    marks = [score(height, bought=n).marks[0] for height, n in ((0.4, 1000), (0.9, 3000))]
    whole = score(0.9, bought=3000).model_copy(update={"marks": tuple(marks)})
    cells = {"proxy-full": [cell(seed, whole) for seed in range(3)]}
    found = table_result(table, cells)
    told = "not reached at 1,000; reached at 3,000 queries"
    assert told in plain(render(paper_results(found)))
    assert told in render_markdown(paper_results(found))
    assert not results.tables[0].lines


def test_the_commands_make_everything_again(results: PaperResults) -> None:
    lines = commands(results)
    assert lines[-1] == results.command
    assert sum(line.startswith("earshot-attacker run ") for line in lines) == 3
    assert sum("EARSHOT_AUDIT_KEY" in line for line in lines) == 1


def test_markdown_has_every_row_and_balanced_tables(results: PaperResults) -> None:
    text = render_markdown(results)
    assert "\u00a0" not in text
    for table in results.tables:
        for row in table.rows:
            assert f"`{row.id}`" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
    assert "1 of 3 (1 failed, 1 not run)" in text


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ((1, 0, 0), "Of 1 trend that the paper states, 1 holds here, 0 do not, and 0 are"),
        ((2, 1, 1), "Of 4 trends that the paper states, 2 hold here, 1 does not, and 1 is"),
    ],
)
def test_the_headline_counts(
    results: PaperResults, verdicts: tuple[int, int, int], sentence: str
) -> None:
    table = results.tables[0]
    decisions = []
    for verdict, number in zip(trends.VERDICTS, verdicts, strict=True):
        changed = table.decisions[0].model_copy(update={"verdict": verdict})
        decisions += [changed] * number
    found = paper_results(table.model_copy(update={"decisions": tuple(decisions)}))
    assert plain(trends.headline(found)).startswith(sentence)
