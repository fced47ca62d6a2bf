"""Tables: the ones that ship, what their rows become, and each way to get one wrong."""

import re
from pathlib import Path
from typing import Any

import pytest

import attacker
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.tables.claims import VICTIM, Above, RisesWith
from attacker.tables.file import load_table, profiles_of
from attacker.tables.schema import CAMPAIGN, Table, merge
from shared.config import ConfigError, read_yaml
from tests.support.tables import write_table

PAPER = Path(attacker.__file__).parent / "experiments" / "paper"
SHIPPED = sorted(path for path in PAPER.glob("*.yaml") if "rows" in read_yaml(path))
EVERY = [(path, profile) for path in SHIPPED for profile in profiles_of(path)]
RISES = {"kind": "rises_with", "text": "t", "x": "alhpa", "rows": ["proxy-full", "gan"]}
LINE = {"id": "more", "label": "More", "rows": ["proxy-full", "few"]}
RIGHT = {**LINE, "rows": ["few", "proxy-full"]}
LOST = {"amplify": ("ours",), "pitch_shift": ("ours",), "gaussian_noise": ("ours",)}


@pytest.fixture
def tiny(tmp_path: Path) -> Table:
    return load_table(write_table(tmp_path / "t.yaml"), "desk")


def test_every_table_of_the_paper_ships() -> None:
    names = {"table1", "table2", "figure1", "table3", "table4", "table7", "table8"}
    printed = {path for path in SHIPPED if read_yaml(path).get("reference")}
    assert {path.stem for path in printed} == names
    for path in printed:
        assert {"desk", "paper"} <= set(profiles_of(path))
        assert len(load_table(path, "desk").seeds) >= 3


@pytest.mark.parametrize(("path", "profile"), EVERY, ids=lambda part: getattr(part, "stem", part))
def test_what_ships_is_valid_and_says_how_to_run_it(path: Path, profile: str) -> None:
    table = load_table(path, profile)
    assert table.name == path.stem
    assert table.claims
    comment = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"earshot-attacker run attacker/experiments/paper/{path.name}" in comment
    recipe = Path(attacker.__file__).parents[1] / table.victim
    victim = read_yaml(recipe)
    assert victim["sample_rate_hz"] == table.audio.sample_rate_hz
    assert victim["clip_samples"] == table.audio.clip_samples
    for row in table.rows:
        assert row.marks in ((), (row.budget,))
        if row.source.kind in LOST:
            assert "ours" in row.note
        if isinstance(row.sampler, DynamicThresholdSpec):
            assert "EARSHOT_VICTIM" in row.knowledge["class_counts"]
            assert "lost" in row.note
        else:
            assert row.knowledge.get("class_counts") is None  # granted where it is needed alone


def test_the_full_proxy_is_one_cell_in_all_tables() -> None:
    tables = [load_table(PAPER / f"table{number}.yaml", "desk") for number in (1, 2, 3)]
    found = {table.experiment(table.row("proxy-full"), 1).model_dump_json() for table in tables}
    assert len(found) == 1


@pytest.mark.parametrize("profile", ["desk", "paper-asc", "paper"])
def test_a_generator_of_answers_is_compared_at_an_equal_bill(profile: str) -> None:
    table = load_table(PAPER / "efficiency.yaml", profile)
    plain, weighted = (table.row(name) for name in ("gan", "gan-entropy"))
    assert table.bill(weighted) == table.bill(plain) == table.row("plain").budget
    assert "half are the first row's" in weighted.note
    gans = [table.generators[name].gan for name in ("vc-gan", "vc-gan-entropy")]
    assert gans[0] == gans[1]  # in every size, and of the same seed
    sources = [row.source.model_dump(exclude={"generator"}) for row in (plain, weighted)]
    assert sources[0] == sources[1]
    answers = table.answers_of(weighted)
    assert answers is not None
    assert (answers.row, answers.by, answers.queries) == ("plain", "entropy", weighted.budget)


def test_equal_volume_is_equal(tmp_path: Path) -> None:
    for profile in ("desk", "paper"):
        table = load_table(PAPER / "table2.yaml", profile)
        budgets = {table.row(name).budget for name in ("e1-diverse", "e1-few", "proxy-subset")}
        assert len(budgets) == 1
    table = load_table(PAPER / "table3.yaml", "desk")
    names = ("proxy-full", "gm1-matched", "gm2-matched")
    assert len({table.row(name).budget for name in names}) == 1


def test_figure_1_has_every_count_of_layers_for_every_task() -> None:
    table = load_table(PAPER / "figure1.yaml", "desk")
    assert len(table.rows) == 21
    for task in ("victim", "half", "other", "victim-frozen"):
        counts = [table.row(f"{task}-{k}").settings["k"] for k in range(1, 6)]
        assert counts == [1, 2, 3, 4, 5]
        frozen = [table.experiment(table.row(f"{task}-{k}"), 0) for k in range(1, 6)]
        layers = [experiment.surrogate.initial_layers for experiment in frozen]
        assert {layer.frozen for layer in layers if layer} == {task == "victim-frozen"}
    assert table.row("known-0").settings["k"] == 0
    assert {row.budget for row in table.rows} == {1196}


def test_table_4_has_both_kinds_of_thresholds_at_one_and_ten_iterations() -> None:
    table = load_table(PAPER / "table4.yaml", "desk")
    kinds = [(row.iterations, row.sampler.kind) for row in table.rows]
    for n in (1, 10):
        assert kinds.count((n, "dynamic_threshold")) == 2
        assert kinds.count((n, "static_threshold")) == 2
    shares = {row.budget // row.iterations for row in table.rows}
    assert len(shares) == 1  # N_G
    assert table.curve is not None
    assert table.row(table.curve.row).iterations == max(table.curve.iterations)


@pytest.mark.parametrize("name", ["table4", "table8"])
def test_volumes_are_compared_within_one_kind_of_threshold(name: str) -> None:
    """The caps of the two kinds are others, so a volume of one says nothing of the other's."""
    table = load_table(PAPER / f"{name}.yaml", "desk")
    claims = [one for one in table.claims if isinstance(one, Above) and one.figure == "volume"]
    assert len(claims) == 2
    for claim in claims:
        rows = [table.row(row) for row in (*claim.rows, *claim.than)]
        assert len({row.sampler for row in rows}) == 1  # of one kind, and with one cap


def test_claims_that_the_paper_does_not_make_are_marked_as_ours() -> None:
    for name in ("efficiency", "curve"):
        table = load_table(PAPER / f"{name}.yaml", "desk")
        assert (table.reference, {claim.ours for claim in table.claims}) == ("", {True})
    claims = load_table(PAPER / "table3.yaml", "desk").claims
    assert [claim.text for claim in claims if claim.ours] == [
        "Generative above proxy at equal volume"
    ]


def test_the_rows_of_the_curve_are_one_line() -> None:
    table = load_table(PAPER / "curve.yaml", "desk")
    (line,), (claim,) = table.lines, table.claims
    assert isinstance(claim, RisesWith)
    assert line.rows == claim.rows == tuple(row.id for row in table.rows)


@pytest.mark.parametrize("path", sorted(PAPER.glob("*.yaml")), ids=lambda path: path.stem)
def test_files_that_a_comment_names_are_there(path: Path) -> None:
    named = re.findall(r"(?:attacker|victim_service)/[\w/-]+\.yaml", path.read_text())
    assert all((Path(attacker.__file__).parents[1] / name).is_file() for name in named)


def test_a_row_becomes_an_ordinary_experiment(tiny: Table) -> None:
    experiment = tiny.experiment(tiny.row("gan"), 1)
    (campaign,) = experiment.campaigns
    assert (experiment.name, experiment.seed, campaign.name) == ("gan-s1", 1, CAMPAIGN)
    assert (experiment.budget, campaign.iterations) == (40, 2)
    assert experiment.knowledge.class_counts == "$EARSHOT_VICTIM/class_counts.json"
    assert tiny.experiment(tiny.row("proxy-full"), 1).knowledge.class_counts is None
    layers = tiny.experiment(tiny.row("known-1"), 0).surrogate.initial_layers
    assert layers is not None
    assert (layers.checkpoint, layers.count, layers.frozen) == ("victim", 1, True)


def test_a_drawn_subset_is_another_in_each_seed_and_a_whole_part_is_not(tmp_path: Path) -> None:
    part = {"kind": "subset", "of": {"kind": "voices", "cast": "proxy"}, "part": "train"}
    table = load_table(write_table(tmp_path / "t.yaml", corpora__proxy=part), "desk")
    seeds = [table.experiment(table.row("few"), seed).proxy.model_dump()["seed"] for seed in (0, 1)]
    assert seeds == [0, 1]
    whole = [table.experiment(table.rows[0], seed).proxy.model_dump()["seed"] for seed in (0, 1)]
    assert whole == [0, 0]


def test_settings_have_the_numbers_that_claims_order_by(tiny: Table) -> None:
    settings = tiny.row("gan").settings
    assert (settings["n"], settings["alpha"], settings["budget"], settings["k"]) == (2, 0.5, 40, 0)
    assert tiny.row("other-2").settings["k"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rowz": []}, ["rowz", "unknown key"]),
        ({"rows__1__id": "proxy-full", "profiles__desk__rows": {}}, ["row ids must differ"]),
        ({"rows__1__id": VICTIM, "profiles__desk__rows": {}}, ["no row", "'victim'"]),
        ({"seeds": [1, 1]}, ["seeds must differ"]),
        ({"proxy": "absent"}, ["corpus 'absent'", "few, proxy"]),
        ({"rows__0__proxy": "absent"}, ["row proxy-full", "corpus 'absent'"]),
        ({"rows__2__source__generator": "absent"}, ["row gan", "generator 'absent'", "gan"]),
        ({"rows__3__initial_layers__model": "absent"}, ["row known-1", "model 'absent'"]),
        ({"generators__gan__corpus": "absent"}, ["generators.gan", "corpus 'absent'"]),
        ({"models__other__corpus": "absent"}, ["models.other", "corpus 'absent'"]),
        ({"claims__0__than": ["absent"]}, ["claim above", "row 'absent'"]),
        ({"claims__0__kind": "hope"}, ["claims.0", "'hope'", "'at_chance'"]),
        (
            {"claims": [RISES]},
            ["claim rises_with", "x 'alhpa'", "all its rows", "budget", "volume"],
        ),
        ({"claims": [{**RISES, "x": "alpha"}]}, ["x 'alpha'", "all its rows", "n, volume"]),
        ({"claims": [{**RISES, "rows": [VICTIM]}]}, ["claim rises_with", "row 'victim'"]),
        ({"lines": [{**LINE, "rows": ["few", "absent"]}]}, ["line more", "row 'absent'"]),
        ({"lines": [LINE]}, ["line more", "do not rise", "proxy-full 40, few 20"]),
        ({"lines": [{**LINE, "rows": ["few"]}]}, ["lines.0.rows", "2 items"]),
        ({"lines": [RIGHT, RIGHT]}, ["line ids must differ"]),
        ({"curve__row": "absent"}, ["curve", "row 'absent'"]),
        ({"generators__gan__gan__clip_samples": 4096}, ["generators.gan", "4,096", "1,024"]),
        ({"generators__gan__sample_rate_hz": 16000}, ["generators.gan", "16,000 Hz", "4,000 Hz"]),
        ({"generators__gan__folder": "somewhere"}, ["generators.gan", "either `folder`"]),
        ({"models__other": {}}, ["models.other", "checkpoint"]),
        ({"rows__2__sampler__alpha": 0}, ["alpha", "greater than 0"]),
        ({"rows__2__sampler__alpha": -1}, ["alpha", "greater than 0"]),
        ({"rows__0__sampler": {"kind": "static_threshold", "tau": 0}}, ["tau"]),
        ({"rows__2__sampler__alpha": 1e300}, ["alpha", "less than or equal to 1000000", "Change"]),
        ({"rows__0__sampler": {"kind": "static_threshold", "tau": 10**30}}, ["tau", "less than"]),
        ({"curve__tau": [0]}, ["curve.tau.0"]),
        ({"curve__tau": [10**30]}, ["curve.tau.0", "Change this value"]),
        ({"curve__tau": [float("inf")]}, ["curve.tau.0", "finite", "Change this value"]),
        ({"curve__tau": [float("nan")]}, ["curve.tau.0", "finite", "Change this value"]),
        ({"curve__alpha": [float("inf")]}, ["curve.alpha.0", "Change this value"]),
        ({"curve__alpha": [float("nan")]}, ["curve.alpha.0", "Change this value"]),
        ({"curve__alpha": [1e300]}, ["curve.alpha.0", "Change this value"]),
        (
            {"curve__iterations": [1, 50]},
            ["curve.iterations names 50", "row gan is bought in 2 iterations", "Leave out"],
        ),
        ({"rows__2__knowledge": {}}, ["row gan", "dynamic_threshold", "assumption A3"]),
        ({"rows__3__knowledge": {}}, ["row known-1", "first_layers", "grants 0"]),
        (
            {"rows__3__initial_layers__count": 9, "rows__3__knowledge__first_layers": 9},
            ["row known-1", "count is 9", "6 layers", "conv1"],
        ),
        ({"profiles__desk__budget": 9}, ["a budget of 9", "one batch of 10"]),
        ({"surrogate__network__kind": "cnn"}, ["row proxy-full", "network"]),
        ({"rows__0__surrogate": {"recipe": {"epoch": 3}}}, ["surrogate.recipe.epoch"]),
        ({"rows__0__iterations": 41}, ["41 iterations"]),
    ],
)
def test_a_wrong_table_is_explained_in_one_line(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    path = write_table(tmp_path / "t.yaml", **change)
    with pytest.raises(ConfigError) as caught:
        load_table(path, "desk")
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_mappings_are_merged_unless_they_are_of_another_kind() -> None:
    under = {"a": 1, "part": {"kind": "x", "p": 1, "q": 2}, "list": [1, 2]}
    assert merge(under, {"part": {"q": 3}, "list": [9]}) == {
        "a": 1, "part": {"kind": "x", "p": 1, "q": 3}, "list": [9]
    }  # fmt: skip
    assert merge(under, {"part": {"kind": "y"}})["part"] == {"kind": "y"}
    assert under["part"] == {"kind": "x", "p": 1, "q": 2}


@pytest.mark.parametrize("name", ["table3", "table7"])
def test_the_paper_s_victim_reads_its_corpus_where_the_table_does(name: str) -> None:
    """One variable a corpus: whoever has set it for the table has set it for the victim."""
    table = load_table(PAPER / f"{name}.yaml", "paper")
    recipe = read_yaml(Path(attacker.__file__).parents[1] / table.victim)
    own = table.corpora["victim-train"].model_dump(mode="json")["of"]
    assert {key: own[key] for key in ("kind", "root")} == recipe["corpus"]
