import csv
from pathlib import Path

import numpy as np
import pytest

from attacker.lab.results import read_results, write_csv, write_results
from attacker.lab.tables import coverage_growth, thin, write_tables
from tests.support.lab_world import campaign, findings, run

TABLES = {"marks", "recall", "comparisons", "refusals", "labels", "coverage"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_results_and_tables_are_read_back_as_they_were(tmp_path: Path) -> None:
    record = run(tmp_path)
    results = findings(record).results
    write_results(results, tmp_path / "lab")
    write_tables(record, tmp_path / "lab")
    assert read_results(tmp_path / "lab") == results
    assert {path.stem for path in (tmp_path / "lab").glob("*.csv")} == TABLES
    marks = rows_of(tmp_path / "lab" / "marks.csv")
    assert [row["queries"] for row in marks] == ["100", "200", "300"] * 2
    assert float(marks[0]["accuracy"]) == pytest.approx(
        results.campaigns[0].marks[0].accuracy.value, rel=1e-5
    )
    assert len(rows_of(tmp_path / "lab" / "recall.csv")) == 6 * (1 + 6)
    assert rows_of(tmp_path / "lab" / "refusals.csv")[0] == {
        "campaign": "proxy-only",
        "code": "rate-limited",
        "requests": "3",
    }


def test_label_counts_add_up_to_queries_and_volume(tmp_path: Path) -> None:
    record = run(tmp_path, campaign())
    write_tables(record, tmp_path)
    rows = rows_of(tmp_path / "labels.csv")
    assert sum(int(row["answered"]) for row in rows) == record.campaigns[0].queries == 300
    assert sum(int(row["kept"]) for row in rows) == record.campaigns[0].volume
    assert max(int(row["kept"]) for row in rows) == 60
    assert rows[0]["cap"] == "60"


def test_coverage_grows_with_every_label_that_is_new() -> None:
    assert coverage_growth(campaign().labels[:0]).tolist() == []
    assert coverage_growth(campaign().labels)[-1] == 5
    assert coverage_growth(np.array([3, 3, 1, 3, 0])).tolist() == [1, 1, 2, 2, 3]


def test_thinning_keeps_both_ends() -> None:
    assert thin(5).tolist() == [0, 1, 2, 3, 4]
    many = thin(100_000)
    assert (many[0], many[-1]) == (0, 99_999)
    assert len(many) <= 400


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x"])
def test_no_name_becomes_a_formula(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / "t.csv", [{"speaker": name, "value": -0.5}])
    assert rows_of(tmp_path / "t.csv") == [{"speaker": f"'{name}", "value": "-0.5"}]


def test_a_table_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_text() == ""
