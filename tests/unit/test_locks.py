"""The images install the very versions that everything is tested with."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pinned(path: str) -> dict[str, str]:
    """Blocks of a lock by package: the version and all its hashes."""
    text = (ROOT / path).read_text()
    blocks = re.findall(r"^([a-z0-9._-]+)==(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    hashes = {name: "".join(re.findall(r"sha256:\w+", block)) for name, block in blocks}
    return {name: block.split()[0] + hashes[name] for name, block in blocks}


def needed(extra: str) -> set[str]:
    """Names of what an extra of pyproject.toml asks for; "" is what both sides need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in asked}


@pytest.mark.parametrize(
    ("path", "extra"),
    [
        ("shared/requirements.lock", ""),
        ("victim_service/requirements.lock", "victim"),
        ("attacker/requirements.lock", "attacker"),
    ],
)
def test_a_lock_of_an_image_is_part_of_the_lock(path: str, extra: str) -> None:
    everything, mine = pinned("requirements.lock"), pinned(path)
    assert len(mine) > 10
    assert {name: everything.get(name) for name in mine} == mine
    assert needed(extra) <= mine.keys() | pinned("shared/requirements.lock").keys()


def test_neither_side_installs_what_both_have_or_the_other_needs() -> None:
    both = pinned("shared/requirements.lock").keys()
    victim, attacker = (
        pinned(f"{side}/requirements.lock").keys() for side in ("victim_service", "attacker")
    )
    assert not both & (victim | attacker)
    assert not victim & {"httpx", "librosa", "matplotlib"}
    assert not attacker & {"fastapi", "redis", "uvicorn"}


def test_no_lock_names_an_index() -> None:
    for path in ROOT.rglob("requirements*.lock"):
        if ".venv" not in path.parts:
            assert "--index" not in path.read_text()
            assert "://" not in path.read_text()
