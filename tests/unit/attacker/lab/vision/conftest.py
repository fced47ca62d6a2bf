from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attacker.lab.vision.control import Control
from attacker.lab.vision.experiment import VisionExperiment
from attacker.lab.vision.images import ImageSet, open_images

SIDE_PX = 8
COLOURS = {"blue": (30, 40, 220), "green": (20, 200, 40), "red": (220, 30, 30)}
OTHERS = {
    "cyan": (20, 210, 210),
    "dark": (25, 25, 25),
    "pink": (230, 60, 210),
    "sun": (240, 220, 0),
}
SMALL: dict[str, Any] = {
    "name": "small",
    "image_side_px": SIDE_PX,
    "test_share": 0.34,
    "network": {"depth": 10, "width": 1, "dropout": 0.1},
    "recipe": {"epochs": 3, "batch_size": 8, "drop_after_epochs": [2]},
    "first_layers": [0, 1, 4],
    "seeds": [0, 1],
}
MakeControl = Callable[..., Control]


def write_colours(root: Path, colours: dict[str, tuple[int, int, int]], count: int) -> Path:
    """Write ``count`` noisy PNG files of each colour, a task that a few steps teach."""
    rng = np.random.default_rng(len(colours))
    for name, colour in colours.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            noisy = np.array(colour) + rng.normal(0, 25, (SIDE_PX, SIDE_PX, 3))
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            picture.save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def image_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, ImageSet]:
    """Images of the victim's task, and of the proxy's."""
    folder = tmp_path_factory.mktemp("colours")
    victim = write_colours(folder / "victim", COLOURS, 12)
    proxy = write_colours(folder / "proxy", OTHERS, 9)
    return open_images(victim, SIDE_PX, folder), open_images(proxy, SIDE_PX, folder)


@pytest.fixture
def make_control(image_sets: tuple[ImageSet, ImageSet], tmp_path: Path) -> MakeControl:
    """Return a maker of small controls; keywords replace parts of their file."""

    def make(out: str = "out", **changes: Any) -> Control:
        experiment = VisionExperiment.model_validate({**SMALL, **changes})
        return Control(experiment, *image_sets, tmp_path / out)

    return make
