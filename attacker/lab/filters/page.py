"""The study as one HTML page: figures, and signals to listen to.

Reference: "Generative Extraction of Audio Classifiers for Speaker Identification", figures 2 and 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from attacker.lab.filters import pictures, words
from attacker.lab.filters.match import Pair, Side
from attacker.lab.filters.model import FilterModel
from attacker.lab.filters.results import FilterResults, LayerResult
from attacker.lab.report import builder, svg
from attacker.lab.report.builder import Plate, templates
from attacker.lab.report.sounds import data_uri, playable_wav, spectrogram_png
from shared.checkpoint import write_atomically

PAGE_NAME = "filters.html"
FIGURES_FOLDER = "figures"
SHOWN = 8
"""Filters or pairs of a layer that are drawn one by one and can be heard."""
_PLAYED_S = 2.0
_PLAYED_RMS = 0.1
_HERE = Path(__file__).parent
_STYLE = Path(builder.__file__).parent / "report.css"

Shown = tuple[int, Pair | None]
"""A filter of A, and its partner."""


@dataclass(frozen=True)
class Heard:
    """One filter's signal, to be seen and heard."""

    title: str
    model: str
    audio: str
    """WAV as a ``data:`` URI."""
    picture: str
    """Its spectrogram, likewise."""
    start: float
    """Mean activation of the noise that the signal was made of."""
    end: float


@dataclass(frozen=True)
class Row:
    """A filter of A and, where there is a B, its partner."""

    pair: Pair | None
    heard: tuple[Heard, ...]


@dataclass(frozen=True)
class LayerView:
    """What the page shows of one layer."""

    result: LayerResult
    note: str
    plates: tuple[Plate, ...]
    rows: tuple[Row, ...]


def build_page(
    results: FilterResults,
    sides: dict[str, tuple[Side, ...]],
    models: tuple[FilterModel, FilterModel | None],
    out: Path,
) -> Path:
    """Write the page and, beside it, its figures as SVG files; return the path of the page.

    ``sides`` holds by layer the side of A, or of A and B.
    """
    present = [model for model in models if model is not None]
    views = [_view(layer, sides[layer.layer], present) for layer in results.layers]
    for view in views:
        for number, plate in enumerate(view.plates, start=1):
            name = f"{view.result.layer}-{number}.svg"
            write_atomically(out / FIGURES_FOLDER / name, stand_alone(plate.svg).encode())
    path = out / PAGE_NAME
    write_atomically(path, _render(results, views).encode())
    return path


def choose_shown(layer: LayerResult, side: Side) -> tuple[Shown, ...]:
    """Return the filters of A that are shown one by one.

    They are spread evenly over the pairs from the nearest to the farthest, or, without a B, over
    the filters from low to high tones: not the best ones.
    """
    if layer.b is not None:
        every: list[Shown] = [(pair.a, pair) for pair in layer.pairs]
    else:
        every = [(int(number), None) for number in side.order()]
    places = np.linspace(0, len(every) - 1, min(SHOWN, len(every)))
    return tuple(every[round(place)] for place in places)


def stand_alone(picture: Markup) -> str:
    """Return an inline SVG of the page as a file of its own, in the colours of paper."""
    css = _STYLE.read_text(encoding="utf-8")
    colors = dict(
        part.strip().split(": ", 1)
        for part in css[css.index("{") + 1 : css.index("}")].split(";")
        if ": #" in part
    )
    plain = str(picture)  # markup would escape what replaces its parts
    for name, color in colors.items():
        plain = plain.replace(f"var({name})", color)
    opening = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" '
    return plain.replace("<svg ", opening, 1)


def _render(results: FilterResults, views: Sequence[LayerView]) -> str:
    environment = templates(_HERE)
    environment.filters.update(distance=words.distance, hertz=words.hertz, aside=words.aside)
    return environment.get_template("page.html.j2").render(
        css=Markup(_STYLE.read_text(encoding="utf-8")),  # noqa: S704 - our own file
        results=results,
        title=words.title(results),
        findings=words.findings(results),
        warning=words.warning(results),
        widths=words.widths(results),
        views=views,
        played_s=_PLAYED_S,
    )


def _view(layer: LayerResult, sides: tuple[Side, ...], models: Sequence[FilterModel]) -> LayerView:
    names = words.names([model.name for model in models])
    shown = choose_shown(layer, sides[0])
    plates: list[Plate] = []
    if shown:
        plates.append(
            _plate(
                lambda: pictures.spectra_map(_columns(layer, sides, names)),
                words.map_caption(layer),
                f"Spectra of the filters of {layer.layer} of {' and '.join(names)}, one a row",
            )
        )
        b = sides[1] if len(sides) > 1 else None
        plates.append(
            _plate(
                lambda: pictures.spectra_grid(sides[0], b, shown, names),
                words.grid_caption(layer),
                f"Spectra of {len(shown)} filters of {layer.layer}, with their partners if any",
            )
        )
    rows = tuple(_row(layer, item, sides, models, names) for item in shown)
    return LayerView(layer, words.layer_note(layer), tuple(plates), rows)


def _columns(
    layer: LayerResult, sides: tuple[Side, ...], names: Sequence[str]
) -> list[pictures.Column]:
    order = sides[0].order().tolist()
    if len(sides) == 1:
        return [(names[0], sides[0], order)]
    partner = {pair.a: pair.b for pair in layer.pairs}
    return [
        (names[0], sides[0], order),
        (f"{names[1]}: the partners", sides[1], [partner[number] for number in order]),
    ]


def _plate(draw: Callable[[], Figure], caption: str, alt: str) -> Plate:
    with svg.drawing():
        return Plate(svg.to_svg(draw(), alt=alt), caption)


def _row(
    layer: LayerResult,
    shown: Shown,
    sides: tuple[Side, ...],
    models: Sequence[FilterModel],
    names: Sequence[str],
) -> Row:
    number, pair = shown
    numbers = (number,) if pair is None else (number, pair.b)
    parts = zip(numbers, sides, models, names, strict=False)
    return Row(pair, tuple(_hear(layer.layer, *part) for part in parts))


def _hear(layer: str, number: int, side: Side, model: FilterModel, name: str) -> Heard:
    title = f"filter {number}"
    if layer == model.network.LAYERS[-1]:
        title += f" ({model.labels[number]})"
    wave = played(side.signals.wave(number), model.sample_rate_hz)
    return Heard(
        title=title,
        model=name,
        audio=data_uri("audio/wav", playable_wav(wave, model.sample_rate_hz)),
        picture=data_uri("image/png", spectrogram_png(wave, range_db=-pictures.FLOOR_DB)),
        start=float(side.signals.start[number]),
        end=float(side.signals.end[number]),
    )


def played(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the middle of a signal (T,), without its offset and at the level of quiet speech."""
    samples = min(len(wave), round(_PLAYED_S * sample_rate_hz))
    first = (len(wave) - samples) // 2
    part = wave[first : first + samples]
    part = part - part.mean()
    rms = float(np.sqrt(np.mean(np.square(part))))
    quiet: np.ndarray = (part * (_PLAYED_RMS / max(rms, 1e-6))).astype(np.float32)
    return quiet
