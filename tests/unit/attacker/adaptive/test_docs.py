"""The page on adaptive attackers names what there is."""

from pathlib import Path

import pytest

from attacker.adaptive import ADAPTIONS
from attacker.known_defences import KNOWN_DEFENCES

PAGE = (Path(__file__).parents[4] / "docs" / "adaptive.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [*ADAPTIONS, *KNOWN_DEFENCES])
def test_every_kind_is_on_the_page(kind: str) -> None:
    assert f"`{kind}`" in PAGE


def test_every_adaption_has_a_row_in_order() -> None:
    rows = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")][1:]
    assert rows == list(ADAPTIONS)
