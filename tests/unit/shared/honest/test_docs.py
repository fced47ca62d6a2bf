"""The page on honest users names what there is."""

from pathlib import Path

from shared.honest import USERS

PAGE = (Path(__file__).parents[4] / "docs" / "honest.md").read_text(encoding="utf-8")


def test_every_user_has_a_row_in_order() -> None:
    rows = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == list(USERS)
