"""Table files: what they extend, their profiles, and each way to get one wrong."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import attacker
from attacker.tables.file import kind_of, load_table, profiles_of
from shared.config import ConfigError
from tests.support.tables import changed, write_table

PAPER = Path(attacker.__file__).parent / "experiments" / "paper"


def test_a_profile_and_the_defaults_of_rows_are_merged(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path / "t.yaml"), "desk")
    assert [row.budget for row in table.rows] == [40, 20, 40, 40, 40]
    assert [row.sampler.kind for row in table.rows[:3]] == [
        "keep_all", "keep_all", "dynamic_threshold"
    ]  # fmt: skip
    assert table.surrogate["network"]["filters"] == 8
    assert table.surrogate["recipe"]["epochs"] == 1
    gan = table.generators["gan"].gan
    assert gan is not None
    assert (gan.clip_samples, gan.steps) == (1024, 2)


def test_a_file_extends_another_and_has_its_own_profiles_only(tmp_path: Path) -> None:
    data = changed()
    common = {k: data.pop(k) for k in ("corpora", "generators", "models", "surrogate")}
    common["profiles"] = {
        "desk": {"audio": data["profiles"]["desk"].pop("audio"), "seeds": [5]},
        "paper": {"audio": {"sample_rate_hz": 16000, "clip_samples": 16384}},
    }
    (tmp_path / "sub").mkdir()
    (tmp_path / "common.yaml").write_text(yaml.safe_dump(common))
    path = tmp_path / "sub" / "t.yaml"
    path.write_text(yaml.safe_dump({"extends": "../common.yaml", **data}))
    table = load_table(path, "desk")
    assert table.audio.clip_samples == 1024
    assert table.seeds == (5,)
    assert profiles_of(path) == ("desk",)
    with pytest.raises(ConfigError, match=r"no profile 'paper'; it has desk\."):
        load_table(path, "paper")


def test_a_whole_table_with_other_seeds_is_a_table_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "More-Seeds.yaml"
    path.write_text(f"extends: {PAPER / 'table4.yaml'}\nseeds: [3, 4]\n")
    assert kind_of(path) == "table"
    assert profiles_of(path) == ("desk", "paper-asc", "paper")
    theirs, ours = load_table(PAPER / "table4.yaml", "desk"), load_table(path, "desk")
    assert (ours.name, ours.seeds) == ("more-seeds", (3, 4))  # its folder replaces no other's
    assert ours.model_copy(update={"name": theirs.name, "seeds": theirs.seeds}) == theirs
    same = [theirs.experiment(theirs.rows[0], 3), ours.experiment(ours.rows[0], 3)]
    assert same[0] == same[1]


def test_a_whole_table_with_a_profile_has_that_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "lower.yaml"
    path.write_text(
        f"extends: {PAPER / 'table4.yaml'}\nname: lower-caps\n"
        "profiles: {desk: {rows: {n1-static-low: {sampler: {tau: 7}}}}}\n"
    )
    assert kind_of(path) == "table"
    assert profiles_of(path) == ("desk",)
    table = load_table(path, "desk")
    assert table.name == "lower-caps"
    assert table.row("n1-static-low").sampler.model_dump() == {"kind": "static_threshold", "tau": 7}
    assert table.row("n1-static-low").budget == 1500


def test_a_file_that_extends_nothing_with_rows_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(f"extends: {PAPER / 'common.yaml'}\n")
    with pytest.raises(ConfigError, match="neither"):
        kind_of(path)
    path.write_text("extends: t.yaml\n")
    with pytest.raises(ConfigError, match="circle"):
        kind_of(path)


def test_a_circle_of_files_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.yaml", extends="t.yaml")
    with pytest.raises(ConfigError, match="circle"):
        load_table(path, "desk")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", ["not a table"]),
        ("rows: []\nprofiles: 3", ["profiles", "mapping"]),
        ("rows: []\nprofiles: {desk: 3}", ["profiles", "mapping"]),
        ("rows: []", ["no profile 'desk'", "none"]),
        ("rows: []\nprofiles: {desk: {rows: [1]}}", ["profiles.desk.rows", "row ids"]),
        ("rows: []\nprofiles: {desk: {rows: {nobody: {}}}}", ["no row nobody"]),
        ("rows: 3\nprofiles: {desk: {}}", ["rows", "audio", "missing"]),
        ("rows: {a: {}}\nprofiles: {desk: {}}", ["write a list of rows", "profiles.NAME.rows"]),
        ("rows: [3]\nprofiles: {desk: {}}", ["rows.0"]),
        ("extends: absent.yaml\nrows: []\nprofiles: {desk: {}}", ["absent.yaml", "No such file"]),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_table(path, "desk")
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind"),
    [({"rows": []}, "table"), ({"campaigns": []}, "experiment"), ({"name": "x"}, None), ([], None)],
)
def test_tables_and_experiments_are_told_apart(tmp_path: Path, data: Any, kind: str | None) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(data))
    if kind is None:
        with pytest.raises(ConfigError, match=r"neither .*`campaigns`.*`rows`"):
            kind_of(path)
    else:
        assert kind_of(path) == kind


DOCS = (Path(__file__).parents[4] / "docs" / "tables.md").read_text()


def test_the_example_of_the_documentation_is_a_table(tmp_path: Path) -> None:
    example, *_ = re.findall(r"^```yaml\n(.*?)^```", DOCS, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "levels.yaml"
    path.write_text(example)
    assert kind_of(path) == "table"
    assert [row.id for row in load_table(path, "desk").rows] == ["plain", "louder", "few"]


def test_the_documentation_counts_rows_and_queries_as_they_are() -> None:
    lines = re.findall(r"^\| `(\w+)` \|[^|]*\| (\d+) \| ([\d,]+) \|", DOCS, flags=re.MULTILINE)
    assert len(lines) == 7
    for name, rows, queries in lines:
        table = load_table(PAPER / f"{name}.yaml", "desk")
        assert len(table.rows) == int(rows), name
        assert sum(row.budget for row in table.rows) == int(queries.replace(",", "")), name


def test_a_table_without_a_profile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("name: t\nrows: []\n")
    with pytest.raises(ConfigError, match=r"no profile\. Add"):
        profiles_of(path)
