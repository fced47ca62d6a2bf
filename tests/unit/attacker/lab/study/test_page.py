"""The page as HTML and as Markdown."""

import itertools
import re
from pathlib import Path

import pytest

from attacker.lab.study.page.build import write_page
from attacker.lab.study.page.figures import spread_heights
from tests.support import study_tables as made
from tests.support.html_page import Page
from tests.support.study_tables import HIGH

COMMAND = "earshot-attacker report study runs/tiny"
EVIL = '<script>alert("x")</script> | `*'


def pages(folder: Path) -> tuple[Page, str, str]:
    """The parsed page, its source and the Markdown, with plain spaces."""
    _, html, markdown = write_page(folder, COMMAND)
    source = html.read_text()
    return Page(source), source.replace("\xa0", " "), markdown.read_text()


def row_of(markdown: str, *starts: str) -> list[str]:
    """The cells of the first table row that begins with these words."""
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and all(map(str.startswith, cells, starts)):
            return cells
    raise AssertionError(f"no row begins with {starts}")


def test_a_whole_page_recommends_and_is_complete(folder: Path) -> None:
    page, source, markdown = pages(folder)
    assert "<h1>Sell soft answers under guard.</h1>" in source
    assert markdown.startswith("# A tiny study\n\n**Sell soft answers under guard.**\n")
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    assert sections == [
        "theft", "cost", "price", "detectors", "standard", "rules", "made", "again",
    ]  # fmt: skip
    assert sum(tag == "svg" for tag, _ in page.tags) == 2
    for text in (source, markdown):
        assert made.CHECKPOINT in text
        assert "a" * 40 in text
        assert COMMAND in text
        assert "earshot-attacker study tiny.yaml --bundle bundle" in text


def test_it_refers_to_nothing_outside_itself(folder: Path) -> None:
    page, source, _ = pages(folder)
    assert not any(tag in ("script", "link", "img", "iframe") for tag, _ in page.tags)
    assert all(href.startswith("#") for href in page.values("href"))
    assert page.values("src") == []
    assert "url(http" not in source
    assert "@import" not in source


def test_the_best_attacker_is_marked(folder: Path) -> None:
    _, _, markdown = pages(folder)
    naive = row_of(markdown, "guard (guard)", "naive")
    at = markdown.index("| guard (guard) |")
    adaptive = row_of(markdown[at:], "", "adaptive")
    assert naive[2] == "10.0 % (7.5 to 12.5)"
    assert adaptive[2] == "**● 20.0 %** (17.5 to 22.5)"


def test_prices_and_costs_are_in_the_tables(folder: Path) -> None:
    _, _, markdown = pages(folder)
    price = markdown[markdown.index("## What the thief pays") :]
    # half of the victim is 45 %: had at the smallest budget, and never under the guard
    assert row_of(price, "none", "soft")[3:5] == ["≤ 500", "≤ 0.50"]
    assert row_of(price, "guard", "soft")[3:5] == ["> 2,000", "> 2.00"]
    cost = markdown[markdown.index("## Theft against") :]
    assert row_of(cost, "guard", "35.0 %")[2:4] == ["0.40", "0.200"]
    assert row_of(cost, "guard", "35.0 %")[7:] == ["**accuracy, L1, ECE**", "kept"]


def test_a_dominated_plan_is_not_on_the_front(tmp_path: Path, rows: made.Rows) -> None:
    rows += made.both("waste", HIGH, HIGH)
    honest = made.honest("none") + made.honest("guard", l1=0.2) + made.honest("waste", l1=0.5)
    _, _, markdown = pages(made.write_all(tmp_path, rows, honest))
    cost = markdown[markdown.index("## Theft against") :]
    assert row_of(cost, "none")[7] == "**L1**"
    assert row_of(cost, "guard")[7] == "**accuracy, L1, ECE**"
    assert row_of(cost, "waste")[7] == "–"


def test_the_standard_is_decided_by_the_chosen_plan(folder: Path) -> None:
    _, _, markdown = pages(folder)
    assert row_of(markdown, "Draft")[4] == "guard (soft)"
    assert row_of(markdown, "C11.5.6", "C11.3.4")[4].startswith("covered (ladder price\\_up")
    assert row_of(markdown, "C11.5.5", "C11.3.3")[4].startswith("not covered")


def test_what_was_not_measured_is_said(tmp_path: Path, rows: made.Rows) -> None:
    page, source, markdown = pages(made.write_all(tmp_path, rows))
    for text in (source, markdown):
        assert "Not decided" in text
        assert "there is no honest.parquet" in text
        assert "there is no detections.parquet" in text
        assert "false alarms are not known" in " ".join(text.split())
        assert "not in this study's manifest" in text or "not in this study&#39;s manifest" in text
    assert sum(tag == "svg" for tag, _ in page.tags) == 1
    assert row_of(markdown, "victim checkpoint")[1] == "unknown"


def test_the_victim_goes_by_its_checkpoint(folder: Path) -> None:
    _, source, markdown = pages(folder)
    assert f"<span>victim {made.CHECKPOINT[:12]}</span>" in source
    assert row_of(markdown, "victim checkpoint")[1] == made.CHECKPOINT
    assert row_of(markdown, "meant for the victim")[1] == made.RECIPE.replace("_", "\\_")


def test_a_cell_in_two_rows_was_paid_once(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.5}, seeds=2)
    _, _, markdown = pages(made.write_all(tmp_path, rows))
    assert [row_of(markdown, name)[1] for name in ("cells", "clips bought")] == ["2", "1,000"]
    rows += made.shared("guard", {500: 0.5}, seeds=2)
    _, _, markdown = pages(made.write_all(tmp_path, rows))
    assert row_of(markdown, "cells")[1] == "4, in 6 rows"
    assert row_of(markdown, "clips bought")[1] == "2,000"


def test_cells_without_a_row_are_named(tmp_path: Path, rows: made.Rows, honest: made.Rows) -> None:
    facts = made.manifest({("none", "soft"): {}, ("guard", "soft"): {}})
    facts["cells"] = [{**row, "sold_as": "x"} for row in rows]
    said = "Incomplete: 2 of this study's 18 cells have no row, "
    _, _, markdown = pages(made.write_all(tmp_path / "whole", rows, honest, facts=facts))
    assert "Incomplete" not in markdown
    _, source, markdown = pages(made.write_all(tmp_path / "part", rows[2:], honest, facts=facts))
    named = f"{rows[0]['cell']} and {rows[1]['cell']}. All that is said here rests on the others."
    assert said + named in markdown
    assert rows[1]["cell"] in source


def test_a_plan_without_an_adaptive_attacker_is_named(tmp_path: Path) -> None:
    rows = made.cells("none", HIGH) + made.cells("guard", HIGH, kinds=("guard",))
    _, source, _ = pages(made.write_all(tmp_path, rows, made.honest("guard")))
    assert "guard (soft): no attacker who answers it was measured" in source
    assert "Not measured: none (soft)." in source


def test_who_does_the_same_as_a_naive_one_is_told_so(tmp_path: Path) -> None:
    rows = made.cells("none", HIGH) + made.shared("guard", HIGH)
    _, source, markdown = pages(made.write_all(tmp_path, rows, made.honest("guard")))
    at = markdown.index("| guard (guard) |")
    assert row_of(markdown[at:], "", "adaptive")[1] == "adaptive (adaptive, the same as naive)"
    assert row_of(markdown[at:], "guard (guard)")[2].startswith("**●")
    assert "adaptive, the same as naive" in source


def test_cells_that_were_stopped_are_told_in_the_plans_line(
    tmp_path: Path, rows: made.Rows, honest: made.Rows
) -> None:
    rows = [one for row in rows for one in (made.stop([row], 0, 1) if row["adaptive"] else [row])]
    _, source, markdown = pages(made.write_all(tmp_path, rows, honest))
    said = "2 of 3 cells were stopped before a surrogate could be trained: counted as guessing"
    for text in (source, markdown):
        assert f"guard (soft), adaptive at 500 clips: {said}." in " ".join(text.split())
        assert f"adaptive: {said}" in " ".join(text.split())


def test_detectors_are_told_with_their_certainty(tmp_path: Path, rows: made.Rows) -> None:
    quiet = {"first_alarm_query": None, "alarms": 0}
    detections = [
        *(made.detection("prada", "naive", seed) for seed in range(2)),
        made.detection("prada", "naive", 2, **quiet),
        made.detection("prada", "honest:calm", 0, **quiet | {"windows": 4000}),
        made.detection("seat", "naive", 0, **quiet),
        made.detection("seat", "honest:calm", 0, **quiet | {"windows": 1999}),
        made.detection("seat", "honest:calm", 1, **quiet | {"windows": 1, "alarms": 1}),
    ]
    _, source, markdown = pages(made.write_all(tmp_path, rows, detections=detections))
    text = markdown[markdown.index("## Detectors") :]
    assert row_of(text, "prada", "naive")[2:] == [
        "50.00 % (40.74 to 59.26; 60 of 120)", "2 of 3", "150 (150; never in 1)",
        "between 11.0 % and 31.0 % (100 to 500 clips)", "60.0 % (2,000 clips)",
    ]  # fmt: skip
    assert row_of(text, "seat", "naive")[3:6] == ["0 of 1", "never", "–"]
    assert row_of(text, "prada", "calm")[2:] == [
        "0 of 1", "0.00 % (0.00 to 0.09; 0 of 4,000)", "at most the target",
    ]  # fmt: skip
    assert row_of(text, "seat", "calm")[2:] == [
        "1 of 2", "0.05 % (0.00 to 0.28; 1 of 2,000)", "not decided",
    ]  # fmt: skip
    assert "No attacker raised an alarm of seat." in text
    assert "It is not shown that seat kept to 0.1 %" in text
    for page in (source, markdown):
        assert "Windows of one account resemble one another" in " ".join(page.split())


def test_an_unknown_theft_is_told_as_that(tmp_path: Path, rows: made.Rows) -> None:
    unknown = dict.fromkeys(
        ("stolen_mark", "stolen_at_alarm", "next_mark", "stolen_at_next", "last_mark", "accuracy")
    )
    detections = [made.detection("prada", "naive", **unknown)]
    _, _, markdown = pages(made.write_all(tmp_path, rows, detections=detections))
    assert row_of(markdown, "prada", "naive")[5:] == ["–", "–"]
    assert "What was stolen by the alarms is not known" in markdown
    assert "false alarms are not known" in markdown


def test_names_are_escaped_in_both(tmp_path: Path) -> None:
    rows = made.cells(EVIL, HIGH, attacker=EVIL, mode=EVIL)
    facts = made.manifest({(EVIL, EVIL): {"label_mode": EVIL}})
    facts["study"]["title"] = facts["study"]["victim"] = EVIL
    facts["study"]["plans"] = [{"id": EVIL, "label": EVIL}]
    detections = [made.detection(EVIL, EVIL)]
    honest = made.honest(EVIL, EVIL, windows=10)
    page, source, markdown = pages(made.write_all(tmp_path, rows, honest, detections, facts))
    assert not any(tag == "script" for tag, _ in page.tags)
    assert "<script" not in source
    assert "<script" not in markdown
    heads = [line for line in markdown.splitlines() if line.startswith("| ")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in heads if "Detector" in line}
    rows_of = {len(re.findall(r"(?<!\\)\|", line)) for line in heads if "150" in line}
    assert bars == rows_of == {8}


def test_keys_in_a_command_are_hidden(tmp_path: Path, rows: made.Rows) -> None:
    secret = "lab_abcdefgh_" + "s" * 32
    facts = made.manifest({}, command=f"earshot-attacker study t.yaml --audit-key {secret}")
    _, source, markdown = pages(made.write_all(tmp_path, rows, facts=facts))
    assert secret not in source
    assert secret not in markdown


@pytest.mark.parametrize("count", [1, 2, 9, 14])
def test_labels_are_moved_apart_and_stay_inside(count: int) -> None:
    found = spread_heights([0.8 + 0.001 * n for n in range(count)], [(0.0, 0.2)] * count)
    assert found == sorted(found)
    assert all(after - before > 0.055 for before, after in itertools.pairwise(found))
    assert all(0 <= height <= 1 for height in found)


def test_labels_that_do_not_meet_stay_where_they_are() -> None:
    assert spread_heights([0.5, 0.5], [(0.0, 0.2), (0.3, 0.4)]) == [0.5, 0.5]
