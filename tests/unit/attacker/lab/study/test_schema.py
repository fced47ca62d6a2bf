"""A study file: what it means, and what of it is refused before anything is asked."""

from pathlib import Path
from typing import Any

import pytest

from attacker.adaptive.majority import MajoritySpec
from attacker.lab.study.file import load_study
from attacker.lab.study.resolve import resolve
from shared.config import ConfigError
from tests.support.studies import TINY, write_study

ROOT = Path(__file__).parents[5]
SHIPPED = sorted((ROOT / "attacker" / "experiments" / "studies").glob("*.yaml"))


def test_every_part_lands_where_it_belongs(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "t.yaml"), "desk")
    cells = {one.name: one for one in resolve(study)}
    small = cells["none-soft-b20-naive-s0"].cell.experiment
    large = cells["none-soft-b40-naive-s0"].cell.experiment
    assert (small.budget, small.marks) == (20, (10, 20))
    assert (small.surrogate.recipe.epochs, large.surrogate.recipe.epochs) == (1, 2)
    assert [mode.id for mode in study.modes_of(study.plans[0])] == ["soft", "hard"]
    assert study.label_modes[2].document() == {"label_mode": "top_k", "top_k": 2}
    assert study.plans[0].document(study.label_modes[1]) == {
        "label_mode": "hard", "defences": [], "price_per_clip": 0.5,
    }  # fmt: skip


def test_an_adaptive_attacker_answers_each_plan_in_its_own_way(tmp_path: Path) -> None:
    changes = {
        "attackers__1__by_plan__*/hard": {"iterations": 2, "knowledge": {"defence": True}},
        "attackers__1__by_plan__noise/hard": {"source": {"kind": "jitter", "copies": 5}},
    }
    study = load_study(write_study(tmp_path / "t.yaml", **changes), "desk")
    cells = {one.name: one.cell.experiment for one in resolve(study)}
    left, hard = cells["none-soft-b40-adaptive-s0"], cells["none-hard-b40-adaptive-s0"]
    noise = cells["noise-hard-b40-adaptive-s0"]
    assert (left.knowledge.defence, hard.knowledge.defence) == (False, True)
    assert (left.campaigns[0].iterations, hard.campaigns[0].iterations) == (1, 2)
    assert noise.campaigns[0].iterations == 2  # what is said of the mode holds for the plan, too
    assert noise.campaigns[0].source.model_dump()["copies"] == 5  # the closest word counts
    assert isinstance(noise.surrogate.answers, MajoritySpec)
    assert cells["noise-hard-b40-naive-s0"].surrogate.answers is None


def test_an_attacker_may_be_a_sybil_everywhere_or_as_an_answer(tmp_path: Path) -> None:
    changes = {
        "attackers__0__query": {"accounts": 4, "spread": "contiguous"},
        "attackers__1__by_plan__noise__query": {"accounts": 2},
    }
    study = load_study(write_study(tmp_path / "t.yaml", **changes), "desk")
    query = {one.name: one.cell.experiment.query for one in resolve(study)}
    sybil, lone = query["none-soft-b20-naive-s0"], query["none-soft-b20-adaptive-s0"]
    assert (sybil.accounts, sybil.spread, sybil.batch_clips) == (4, "contiguous", 10)
    assert (lone.accounts, lone.batch_clips) == (1, 10)
    assert query["noise-hard-b20-adaptive-s0"].accounts == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plans__1__id": "none"}, "ids of plans must differ"),
        ({"budgets": [20, 20]}, "budgets must differ"),
        ({"budgets": [5], "by_budget": {}}, "does not buy one batch"),
        ({"seeds": []}, "seeds"),
        ({"proxy": "elsewhere"}, "corpus 'elsewhere'; this study's are: proxy"),
        ({"plans__0__label_modes": ["bare"]}, "label mode 'bare'; this study's are: soft, hard"),
        ({"plans__0__plan": {"budget": 3}}, "budget: the study says this itself"),
        ({"attackers__1__by_plan__rounding": {}}, "plan 'rounding'; this study's are: none, noise"),
        ({"attackers__1__by_plan__noise": {"budget": 3}}, "budget cannot differ by plan"),
        ({"attackers__1__by_plan__noise__source": {"kind": "proxy"}}, "sends no copies"),
        (
            {"attackers__1__by_plan": {"noise": {"knowledge": {"defence": True}}}},
            "grants knowledge against noise/hard, and nothing that is done there differs",
        ),
        ({"attackers__1__by_plan__noise__source": {"kind": "telepathy"}}, "valid kinds"),
        ({"attackers__0__surrogate": {"answers": {"kind": "inversion"}}}, "known defence"),
        ({"by_budget": {30: {}}}, "budget 30; this study's are: 20, 40"),
        ({"marks": [0]}, "marks"),
        ({"attackers__0__query": {"acounts": 4}}, "query.acounts"),
        ({"attackers__0__query": {"accounts": 21}}, "21 accounts cannot share a budget of 20"),
        ({"thief": 1}, "unknown key"),
        ({"attackers": None}, "no study (it has no `attackers`)"),
        ({"profiles": {"paper": {}}}, "no profile 'desk'; it has paper"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_study(write_study(tmp_path / "t.yaml", **changes), "desk")
    assert words in str(refused.value)
    assert str(tmp_path / "t.yaml") in str(refused.value)


def test_a_profile_goes_over_the_rest_and_a_root_over_all_corpora(tmp_path: Path) -> None:
    profiles = {"quick": {**TINY["profiles"]["desk"], "budgets": [20], "by_budget": {}}}
    path = write_study(tmp_path / "t.yaml", profiles=profiles, by_budget=None)
    study = load_study(path, "quick", usual_root=tmp_path / "corpus")
    assert study.budgets == (20,)
    assert study.corpora["proxy"].model_dump()["root"] == str(tmp_path / "corpus")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_can_be_read(path: Path) -> None:
    study = load_study(path, "desk")
    assert study.name == path.stem
    assert Path(ROOT / study.victim).is_file()
    defended = len(study.plans) > 1
    assert any(attacker.adaptive for attacker in study.attackers) == defended
