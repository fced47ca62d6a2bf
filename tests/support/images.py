"""Folders of generated pictures: one drawn shape a class, in any colour, place and size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

VICTIM_SHAPES = ("disc", "square", "triangle", "cross")
PROXY_SHAPES = ("ring", "bar", "diamond", "corner", "dots")


def write_shapes(
    root: Path, shapes: Sequence[str], count: int, *, side_px: int = 24, seed: int = 0
) -> Path:
    """Write ``count`` pictures of each of ``shapes``; every third is a JPEG. Returns ``root``."""
    rng = np.random.default_rng([seed, len(shapes)])
    for shape in shapes:
        (root / shape).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            suffix = "jpg" if number % 3 == 2 else "png"
            draw_shape(shape, side_px, rng).save(root / shape / f"{number:03}.{suffix}")
    return root


def draw_shape(shape: str, side_px: int, rng: np.random.Generator) -> Image.Image:
    """Return a picture of ``shape`` on a noisy ground."""
    ground = rng.integers(0, 256, 3)
    ink = tuple(int(value) for value in (ground + rng.integers(90, 167, 3)) % 256)
    noise = rng.normal(0, 8, (side_px, side_px, 3))
    picture = Image.fromarray(np.clip(ground + noise, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    r = float(rng.uniform(0.25, 0.36) * side_px)
    x, y = (float(value) for value in rng.uniform(r, side_px - 1 - r, 2))
    box, thin = (x - r, y - r, x + r, y + r), r / 2.2
    if shape == "disc":
        draw.ellipse(box, fill=ink)
    elif shape == "square":
        draw.rectangle(box, fill=ink)
    elif shape == "triangle":
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    elif shape == "cross":
        draw.rectangle((x - r, y - thin / 2, x + r, y + thin / 2), fill=ink)
        draw.rectangle((x - thin / 2, y - r, x + thin / 2, y + r), fill=ink)
    elif shape == "ring":
        draw.ellipse(box, outline=ink, width=max(2, round(thin)))
    elif shape == "bar":
        draw.rectangle((x - r, y - thin, x + r, y + thin), fill=ink)
    elif shape == "diamond":
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=ink)
    elif shape == "corner":
        draw.rectangle((x - r, y - r, x - r + thin, y + r), fill=ink)
        draw.rectangle((x - r, y + r - thin, x + r, y + r), fill=ink)
    elif shape == "dots":
        for dx, dy in ((-r, -r), (r - thin, -r), (-r, r - thin), (r - thin, r - thin)):
            draw.ellipse((x + dx, y + dy, x + dx + thin, y + dy + thin), fill=ink)
    else:
        raise ValueError(f"there is no shape {shape!r}")
    return picture
