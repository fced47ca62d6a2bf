"""One tiny table on disk for the tests of this folder: three rows of it are finished."""

from pathlib import Path

import pytest

from tests.support.paper_cells import World, tiny_world


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A table of which everything is done but seed 1 of ``static``; do not change it."""
    world = tiny_world(tmp_path_factory.mktemp("tiny"))
    for row in ("own", "proxy", "noise", "static"):
        for number in (0, 1):
            if (row, number) != ("static", 1):
                world.make(row, number)
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A table of which nothing is done."""
    return tiny_world(tmp_path)
