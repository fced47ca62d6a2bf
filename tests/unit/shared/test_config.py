from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from shared.config import ConfigError, Frozen, dump_yaml, later, load_yaml
from shared.seeding import derive, numpy_stream, torch_stream


class Cat(Frozen):
    kind: Literal["cat"] = "cat"
    lives: int = Field(default=9, ge=1)


class Dog(Frozen):
    kind: Literal["dog"] = "dog"


class House(Frozen):
    name: str
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "house.yaml"
    path.write_text(text)
    return path


def test_round_trip(tmp_path: Path) -> None:
    house = load_yaml(write(tmp_path, "name: x\npets: [{kind: cat, lives: 3}]"), House)
    assert house.pets == (Cat(lives=3),)
    assert load_yaml(write(tmp_path, dump_yaml(house)), House) == house
    with pytest.raises(ValidationError):
        house.name = "y"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: x\nbudgett: 3", ["budgett", "unknown key"]),
        ("name: x\npets: [{kind: fish}]", ["pets.0", "'fish'", "'cat', 'dog'"]),
        ("name: x\npets: [{lives: 2}]", ["pets.0", "kind"]),
        ("name: x\npets: [{kind: cat, lives: 0}]", ["pets.0.cat.lives", "got 0"]),
        ("pets: []", ["name", "missing"]),
        ("name: [", ["not YAML"]),
        ("- 1", ["house.yaml"]),
        ("", ["house.yaml"]),
    ],
)
def test_messages_name_file_place_and_what_is_valid(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(write(tmp_path, text), House)
    for part in ["house.yaml", *parts]:
        assert part in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_yaml(tmp_path / "none.yaml", House)


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_yaml(write(tmp_path, "name: !!python/object/apply:os.getcwd []"), House)


def test_streams_are_named_stable_and_apart() -> None:
    assert derive(0, "a", 1) == 2606532630648084042
    seeds = {derive(0, "a", 1), derive(0, "a", "1"), derive(0, "a1"), derive(1, "a", 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert numpy_stream(0, "x").integers(1 << 40) == numpy_stream(0, "x").integers(1 << 40)
    assert torch_stream(0, "x").initial_seed() == derive(0, "x")


class Shed(Frozen):
    width: int = 3
    door: str = later("wood", min_length=2)


def test_a_later_field_is_dumped_only_where_it_is_set() -> None:
    assert Shed().model_dump(mode="json") == {"width": 3}
    assert Shed(door="wood").model_dump(mode="json") == {"width": 3}
    assert Shed(door="iron").model_dump(mode="json") == {"width": 3, "door": "iron"}
    assert Shed.model_validate(Shed().model_dump()) == Shed()
    with pytest.raises(ValidationError, match="door"):
        Shed(door="x")
