"""The folder of a study, as it says what an attack had stolen for how many clips."""

import json
from pathlib import Path
from typing import Any

import pytest

from attacker.errors import ExperimentError
from attacker.lab.study.folder import StudyFolder, open_study
from tests.support import study_tables as made

CHAIN = {
    "kind": "chain",
    "links": [{"kind": "speed", "factors": [0.5, 2.0]}, {"kind": "amplify", "max_gain": 3}],
}
NAIVE = {"id": "naive", "label": "n", "source": CHAIN, "sampler": {"kind": "keep_all"}}
ADAPTIVE = {
    **NAIVE,
    "id": "adaptive",
    "adaptive": True,
    "by_plan": {"guard/hard": {"source": {"kind": "jitter", "copies": 3}}},
}


def facts(attackers: Any = (NAIVE, ADAPTIVE)) -> Any:
    found = made.manifest({})
    found["study"]["attackers"] = list(attackers)
    return found


def opened(folder: Path, rows: made.Rows, about: Any = None) -> StudyFolder:
    return open_study(made.write_all(folder, rows, facts=about or facts()))


def test_accuracies_are_means_over_seeds_by_clips_bought(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.3, 2000: 0.6}, jitter=0.1)
    for row in rows:
        row["bought"] = min(row["bought"], 1500 + row["seed"])
    rows += made.cells("none", {500: 0.9}, attacker="other")
    attack = opened(tmp_path, rows).attack("naive", "none", None, who="me")
    assert attack.accuracies() == {500: pytest.approx(0.3), 1501: pytest.approx(0.6)}


def test_who_was_stopped_before_a_surrogate_guesses(tmp_path: Path) -> None:
    rows = made.cells("none", {500: 0.3, 2000: 0.6}, jitter=0.1, alike=True)
    rows = made.stop(rows[:3], 0) + made.stop(rows[3:], 0, 1, 2)
    attack = opened(tmp_path, rows).attack("naive", "none", "soft", who="me")
    assert attack.accuracies() == {
        round((3 + 500 + 500) / 3): pytest.approx((made.CHANCE + 0.3 + 0.4) / 3),
        3: pytest.approx(made.CHANCE),
    }


def test_the_source_is_that_against_the_plan(tmp_path: Path) -> None:
    rows = made.both("guard", made.HIGH, made.LOW) + made.both(
        "guard", made.HIGH, made.LOW, mode="hard"
    )
    study = opened(tmp_path, rows)
    kinds = {
        mode: study.attack("adaptive", "guard", mode, who="me").source.kind
        for mode in ("soft", "hard")
    }
    assert kinds == {"soft": "chain", "hard": "jitter"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("nobody", "none", None), "me: .* has no finished cell of nobody under none"),
        (("naive", "none", "top3"), "under none in label mode top3.*naive under none .hard."),
        (("naive", "none", None), "label modes hard, soft. Set `cells.label_mode` to one"),
    ],
)
def test_cells_that_are_not_there_are_refused(
    tmp_path: Path, asked: tuple[str, str, str | None], words: str
) -> None:
    rows = made.cells("none", made.HIGH) + made.cells("none", made.HIGH, mode="hard")
    with pytest.raises(ExperimentError, match=words):
        opened(tmp_path, rows).attack(*asked, who="me")


def sold_study(folder: Path) -> StudyFolder:
    places = [("none", "soft"), ("none", "hard"), ("guard", "soft"), ("wall", "hard")]
    rows = [row for plan, mode in places[:3] for row in made.cells(plan, made.HIGH, mode=mode)]
    return opened(folder, rows, made.manifest({place: {} for place in places}))


@pytest.mark.parametrize(
    ("named", "places"),
    [
        ((), ["none-soft", "none-hard", "guard-soft"]),
        (("guard",), ["guard-soft"]),
        (("none",), ["none-soft", "none-hard"]),
        (("guard", "none/hard"), ["guard-soft", "none-hard"]),
        (("study-none-soft-12345678", "none"), ["none-soft", "none-hard"]),
    ],
)
def test_plans_go_by_what_the_study_calls_them(
    tmp_path: Path, named: tuple[str, ...], places: list[str]
) -> None:
    found = sold_study(tmp_path).sold(named)
    assert found == tuple(f"study-{place}-12345678" for place in places)


@pytest.mark.parametrize("named", ["soft", "guard/hard", "wall", "study-none-soft-87654321"])
def test_a_plan_that_the_study_did_not_attack_is_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(ExperimentError, match="Name some of none/soft, none/hard, guard/soft, or"):
        sold_study(tmp_path).sold(["none", named])


def test_a_study_that_does_not_say_how_plans_are_sold_is_refused(
    tmp_path: Path, rows: made.Rows
) -> None:
    with pytest.raises(ExperimentError, match="Run the study again"):
        opened(tmp_path, rows).sold([])


def test_another_victim_is_refused_on_one_line(tmp_path: Path, rows: made.Rows) -> None:
    study = opened(tmp_path, rows)
    study.demand_victim(made.CHECKPOINT, who="the victim")
    with pytest.raises(ExperimentError, match="is of the victim cccccccccccc, but the") as refused:
        study.demand_victim("d" * 64, who="the victim")
    assert "\n" not in str(refused.value)


def test_a_folder_that_names_no_victim_is_refused(tmp_path: Path, rows: made.Rows) -> None:
    with pytest.raises(ExperimentError, match="does not say of which victim"):
        open_study(made.write(tmp_path, rows))
    (tmp_path / "study.json").write_text(json.dumps({"victim": "asc"}))
    with pytest.raises(ExperimentError, match="does not say of which victim"):
        open_study(tmp_path)


def test_a_manifest_without_the_attacker_is_refused(tmp_path: Path, rows: made.Rows) -> None:
    with pytest.raises(ExperimentError, match="Run the study again to write its manifest"):
        opened(tmp_path, rows, facts([ADAPTIVE])).attack("naive", "none", None, who="me")


def test_an_older_table_of_detectors_is_in_nobodys_way(tmp_path: Path, rows: made.Rows) -> None:
    made.write(tmp_path, [{"detector": "prada"}], "detections")
    assert opened(tmp_path, rows).cells
