"""A whole page from cells on disk: scored once, nothing dropped, written three ways."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from attacker.errors import ExperimentError
from attacker.lab.audit import AuditError, Auditor
from attacker.lab.bundle import Bundle
from attacker.lab.paper import measure
from attacker.lab.paper.findings import PaperResults
from attacker.lab.paper.kept import NothingMeasuredError
from attacker.lab.paper.markdown import render_markdown
from attacker.lab.paper.measure import PaperMeasurement
from attacker.lab.reading import predict_surrogate
from attacker.lab.scores import Ruler
from shared.contract import ModelCard
from tests.support.paper_cells import TOOK_S, World, tiny_world

KEY = "an-audit-key"


class Asked:
    """Stands for the victim over HTTP and for the surrogates, and counts."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.victim = self.surrogates = 0

        def label(auditor: Auditor, bundle: Bundle) -> np.ndarray:
            assert auditor.key == KEY
            self.victim += 1
            return world.answer(bundle.clips)

        def predict(folder: Path, clips: np.ndarray, device: str) -> np.ndarray:
            self.surrogates += 1
            return predict_surrogate(folder, clips, device)

        monkeypatch.setattr(Auditor, "label", label)
        monkeypatch.setattr(measure, "predict_surrogate", predict)


@pytest.fixture(scope="module")
def copied(finished: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The finished table in a folder of its own, so that what is cached is this module's."""
    root = tmp_path_factory.mktemp("copied")
    shutil.copytree(finished.out, root / "paper")
    return dataclasses.replace(finished, root=root)


def measurement(world: World, **changes: object) -> PaperMeasurement:
    common = PaperMeasurement(
        folder=world.out,
        bundles=(world.victim / "bundle",),
        url="http://127.0.0.1:9",
        audit_key=KEY,
        cache=world.cache,
        command=f"earshot-attacker report {world.out} --audit-key secret_word",
    )
    return dataclasses.replace(common, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results(copied: World) -> PaperResults:
    """What is found in the finished table, with everything written."""
    with pytest.MonkeyPatch.context() as patch:
        asked = Asked(copied, patch)
        found, path = measurement(copied, markdown=copied.out / "tables.md").carry_out()
        assert path == copied.out / "report.html"
        assert (asked.victim, asked.surrogates) == (1, 2 + 2 + 4 + 1)
    return found


def test_a_second_page_asks_nobody(
    copied: World, results: PaperResults, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = Asked(copied, monkeypatch)
    again, path = measurement(copied, audit_key=None, out=tmp_path / "page.html").carry_out()
    assert (asked.victim, asked.surrogates) == (0, 0)
    assert again == results
    assert path == tmp_path / "page.html"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]  # no numbers beside it
    written = (copied.out / "results.json").read_text()
    assert PaperResults.model_validate_json(written) == results


def test_cells_are_scored_as_the_ordinary_report_scores_them(
    copied: World, results: PaperResults
) -> None:
    bundle = copied.bundle
    ruler = Ruler(bundle, copied.answer(bundle.clips), seed=0)
    for row in results.tables[0].rows:
        for number, cell in enumerate(row.cells):
            if cell.last is None:
                continue
            place = copied.place(row.id, number) / "attack" / "surrogates" / str(cell.last.queries)
            labels = predict_surrogate(place, bundle.clips).argmax(axis=1)
            assert cell.last.accuracy.value == np.mean(labels == bundle.labels)
            assert cell.last.fidelity.value == np.mean(labels == ruler.victim_labels)


def test_nothing_is_dropped(results: PaperResults) -> None:
    (table,) = results.tables
    rows = {row.id: row for row in table.rows}
    assert [len(row.cells) for row in table.rows] == [2, 2, 2, 2]
    assert [rows[name].finished for name in ("own", "proxy", "noise", "static")] == [2, 2, 2, 1]
    assert rows["static"].cells[1].state == "not run"
    accuracy = rows["own"].figures["accuracy"]
    assert accuracy is not None
    assert accuracy.n == 2
    one_seed = rows["static"].figures["accuracy"]
    assert one_seed is not None
    assert (one_seed.n, one_seed.interval) == (1, None)


def test_volume_coverage_queries_and_time_are_the_cells_own(results: PaperResults) -> None:
    rows = {row.id: row for row in results.tables[0].rows}
    queries, volume = rows["noise"].queries, rows["noise"].figures["volume"]
    assert queries is not None
    assert volume is not None
    assert (queries.mean, volume.mean) == (40, 40)
    (line,) = results.tables[0].lines
    assert (line.id, [point.queries for point in line.points]) == ("noise", [20, 40])
    assert all(point.with_clips for point in line.points)
    score = rows["static"].cells[0].score
    assert score is not None
    assert score.kept <= 40
    assert score.kept == score.marks[-1].volume
    assert rows["own"].cells[0].took_s == TOOK_S
    assert rows["own"].cells[0].bought == 80


def test_the_checks_are_made(results: PaperResults) -> None:
    kinds = [check.name for check in results.checks]
    assert sorted(kinds) == ["about_equal", "at_chance", "leak"]
    by_name = {check.name: check for check in results.checks}
    assert "own against victim" in by_name["about_equal"].detail
    assert "noise" in by_name["at_chance"].detail
    assert by_name["leak"].verdict == "passed"
    assert results.leaks == ()


def test_the_curve_is_of_the_seeds_that_are_done(results: PaperResults) -> None:
    points = {(p.parameter, p.value, p.iterations): p for p in results.tables[0].curve}
    assert len(points) == 4 * 2
    assert all(point.volume.n == 1 for point in points.values())
    assert points["tau", 1, 2].volume.mean <= 5
    assert points["tau", 5, 1].volume.mean <= points["tau", 5, 2].volume.mean
    lines = render_markdown(results).splitlines()
    (head,) = [place for place, line in enumerate(lines) if line.startswith("| cap |")]
    caps = [line.split(" | ") for line in lines[head + 2 : head + 6]]
    assert [cells[0] for cells in caps[:2]] == ["| tau = 1", "| tau = 5"]
    assert caps[0][3].startswith(f"{points['tau', 1, 2].volume.mean:,.0f} (one seed)")


def test_no_key_is_written(copied: World, results: PaperResults) -> None:
    assert "secret_word" not in results.command
    for name in ("report.html", "results.json", "tables.md"):
        text = (copied.out / name).read_text()
        assert KEY not in text
        assert "secret_word" not in text


def test_the_three_forms_say_the_same(copied: World, results: PaperResults) -> None:
    page = (copied.out / "report.html").read_text()
    markdown = (copied.out / "tables.md").read_text()
    data = json.loads((copied.out / "results.json").read_text())
    assert len(data["tables"]) == 1
    for text in ("Table 0: A tiny table", "Own above noise", "73.45", "earshot-attacker run tiny"):
        assert text in page
        assert text in markdown


def test_without_its_bundle_a_table_is_listed_and_not_measured(
    copied: World, tmp_path: Path
) -> None:
    found, path = measurement(copied, bundles=(), out=tmp_path / "page.html").carry_out()
    (table,) = found.tables
    assert not table.measured
    assert table.decisions == ()
    wanted = f"give --bundle of victim {copied.card.checkpoint[:12]}"
    assert table.victim.problem == wanted
    assert f"Not measured: {wanted}" in path.read_text()
    assert [row.finished for row in table.rows] == [2, 2, 2, 1]
    assert all(check.verdict == "not checked" for check in found.checks)


def test_the_bundle_of_another_victim_measures_nothing_and_says_so(
    world: World, tmp_path: Path
) -> None:
    name = _alter_victim(world)
    with pytest.raises(NothingMeasuredError) as caught:
        measurement(world, bundles=(world.victim / "bundle",)).carry_out()
    message = str(caught.value)
    assert "\n" not in message
    for word in (name[:12], f"{world.card.checkpoint[:12]}: tiny (desk)", "Give the `bundle`"):
        assert word in message
    assert caught.value.exit_code == 1
    assert not (world.out / "results.json").exists()
    assert not (world.out / "report.html").exists()


@pytest.mark.parametrize("wrong", [True, False])
def test_what_was_measured_before_is_not_written_over_by_nothing(
    copied: World, results: PaperResults, tmp_path: Path, wrong: bool
) -> None:
    other = tiny_world(tmp_path / "other")
    _alter_victim(other)
    before = {name: (copied.out / name).read_bytes() for name in ("report.html", "results.json")}
    bundles = (other.victim / "bundle",) if wrong else ()
    markdown = copied.out / "tables.md"
    text = markdown.read_text()
    found, path = measurement(copied, bundles=bundles, markdown=markdown).carry_out()
    assert path == copied.out / "report.html"
    assert {name: (copied.out / name).read_bytes() for name in before} == before
    assert markdown.read_text() == text
    assert not found.tables[0].measured
    (warning,) = found.warnings
    assert warning.startswith("Nothing was measured: ")
    said = "was run against the victim of --bundle (abababababab)" if wrong else "no --bundle"
    for word in (said, "tiny (desk)", "results.json", copied.card.checkpoint[:12]):
        assert word in warning
    assert results.tables[0].measured


def test_a_bundle_of_no_table_is_named(copied: World, tmp_path: Path) -> None:
    other = tiny_world(tmp_path / "other")
    name_of_other = _alter_victim(other)
    bundles = (copied.victim / "bundle", other.victim / "bundle")
    found, _ = measurement(copied, bundles=bundles, out=tmp_path / "page.html").carry_out()
    assert found.warnings == (
        f"A bundle of the victim {name_of_other[:12]} was given, and no table was run against it.",
    )


def test_one_victim_is_not_measured_twice(copied: World) -> None:
    bundles = (copied.victim / "bundle", copied.victim / "bundle")
    with pytest.raises(ExperimentError, match="Leave one of them out"):
        measurement(copied, bundles=bundles).carry_out()


def test_the_first_page_needs_an_audit_key(world: World) -> None:
    world.make("own", 0)
    with pytest.raises(AuditError, match="EARSHOT_AUDIT_KEY"):
        measurement(world, audit_key=None).carry_out()


def test_a_victim_that_cannot_be_asked_costs_its_own_tables_only(
    copied: World, results: PaperResults, tmp_path: Path
) -> None:
    """Two victims, one server: the one that has labelled its split is measured all the same."""
    both = tmp_path / "both"
    shutil.copytree(copied.out, both)
    other = tiny_world(tmp_path / "other")
    name = _alter_victim(other)
    manifest = next(other.out.glob("*/*/table.json"))
    data = json.loads(manifest.read_text())
    card = ModelCard.model_validate({**data["victim"], "checkpoint": name})
    data["victim"] = card.model_dump(mode="json")
    place = both / name[:12] / "tiny-desk" / "table.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(data))
    found, _ = measurement(
        copied,
        folder=both,
        bundles=(copied.victim / "bundle", other.victim / "bundle"),
        audit_key=None,
    ).carry_out()
    measured = {table.victim.checkpoint: table.measured for table in found.tables}
    assert measured == {copied.card.checkpoint: True, name: False}
    problem = next(t.victim.problem for t in found.tables if not t.measured)
    assert "audit key" in problem


def test_a_folder_without_tables_says_what_to_run(tmp_path: Path, copied: World) -> None:
    with pytest.raises(ExperimentError, match="earshot-attacker run"):
        measurement(copied, folder=tmp_path).carry_out()


def _alter_victim(world: World) -> str:
    """Give the bundle of ``world`` another victim's name, and return that."""
    name = "ab" * 32
    path = world.victim / "bundle" / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "checkpoint": name}))
    return name
