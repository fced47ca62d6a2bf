"""The page's sentences about filters."""

from collections.abc import Sequence

from attacker.lab.filters.match import SetAside
from attacker.lab.filters.results import FilterResults, LayerResult, SideResult
from attacker.lab.report.words import NBSP, count, percent

_FIRST, _DEEP = "conv1", "conv4"
"""The layers of the paper's figure 2."""
_FEW = 4
"""Pairs below which nothing is read into their numbers."""


def names(models: Sequence[str]) -> tuple[str, ...]:
    """Return what one model, or A and B, are called in figures."""
    if len(models) == 1:
        return (models[0],)
    return tuple(f"{side} {name}" for side, name in zip("AB", models, strict=False))


def title(results: FilterResults) -> str:
    """Return the page's first line."""
    if results.b is None:
        return f"What the filters of {_whole(results.a.name)} listen for"
    a, b = _whole(results.a.name), _whole(results.b.name)
    return f"What the filters of {a} and {b} listen for"


def findings(results: FilterResults) -> list[str]:
    """Return a sentence on each layer."""
    return [f"{layer.layer}: {_finding(results, layer)}" for layer in results.layers]


def warning(results: FilterResults) -> str | None:
    """Return why the matching may say less than it seems to; None where nothing speaks for it."""
    alike = [layer.layer for layer in results.layers if _began_alike(layer)]
    if not alike or results.is_of_itself:
        return None
    return (
        f"In {', '.join(alike)} most partners have one number in both models: these networks seem "
        "to have begun as the same weights, and their likeness may be no more than that. Train one "
        "of them with another seed."
    )


def _finding(results: FilterResults, layer: LayerResult) -> str:
    part = f"{_kept(layer.a)} of {count(layer.a.filters, 'filter')}"
    if layer.b is None:
        return f"{part} are neither silent nor very low."
    if layer.median_distance is None or layer.typical_distance is None:
        return f"{part} take part, and there is nothing to match."
    text = (
        f"{part} take part; the median partner is at distance {distance(layer.median_distance)}, "
        f"any two filters at {distance(layer.typical_distance)}."
    )
    if results.is_of_itself:
        text += f" {percent(layer.same_number / len(layer.pairs))} found themselves."
    return text


def _began_alike(layer: LayerResult) -> bool:
    """Whether so many partners have one number that chance cannot be the reason."""
    return len(layer.pairs) >= _FEW and 2 * layer.same_number > len(layer.pairs)


def widths(results: FilterResults) -> str | None:
    """Return what the two layers of figure 2 say of the paper's claim; None without them."""
    by_name = {layer.layer: layer for layer in results.layers}
    if _FIRST not in by_name or _DEEP not in by_name:
        return None
    models = [("a", results.a), ("b", results.b)]
    parts = []
    for side, model in models:
        first, deep = (getattr(by_name[name], side) for name in (_FIRST, _DEEP))
        if model is None or first.bandwidth_hz is None or deep.bandwidth_hz is None:
            continue
        parts.append(
            f"{model.name} {hertz(first.bandwidth_hz)} and {hertz(deep.bandwidth_hz)} "
            f"({'wider' if deep.bandwidth_hz > first.bandwidth_hz else 'not wider'})"
        )
    if not parts:
        return None
    return (
        "The paper sees single bands in the first layer and broader patterns in the fourth. "
        f"Median width of a signal's spectrum in {_FIRST} and in {_DEEP}: {'; '.join(parts)}."
    )


def layer_note(layer: LayerResult) -> str:
    """Return which filters were left out, and why."""
    sides = [("A" if layer.b else "", layer.a)] + ([("B", layer.b)] if layer.b else [])
    parts = []
    for name, side in sides:
        of = f"the first {side.filters} of {side.of}" if side.filters < side.of else f"{side.of}"
        text = f"{of} filters, {aside(side.set_aside)}"
        parts.append(f"{name}: {text}" if name else text[0].upper() + text[1:])
    return "; ".join(parts) + "."


def aside(items: Sequence[SetAside]) -> str:
    """Return how many filters are set aside, by reason."""
    low = sum(item.reason == "low" for item in items)
    silent = len(items) - low
    if not items:
        return "none set aside"
    reasons = [f"{low} very low"] * (low > 0) + [f"{silent} silent"] * (silent > 0)
    return " and ".join(reasons) + " set aside"


def map_caption(layer: LayerResult) -> str:
    """Return what the picture of a whole layer shows."""
    text = (
        "Each row is the spectrum of one filter's signal, from low tones (top) to high ones, in dB "
        "below its strongest tone."
    )
    if layer.b is not None:
        text += " Right, in the same row, its partner: the more alike the halves, the nearer."
    return text


def grid_caption(layer: LayerResult) -> str:
    """Return what the single spectra show."""
    if layer.b is None:
        return "Single filters, evenly spread from low to high tones; the title is their number."
    return (
        "Single pairs, evenly spread from the nearest (top left) to the farthest: the number in A, "
        "the number in B, and their cosine distance."
    )


def distance(value: float | None) -> str:
    """Return a cosine distance with three decimals."""
    return "–" if value is None else f"{value:.3f}"


def hertz(value: float | None) -> str:
    """Return a frequency in whole Hz."""
    return "–" if value is None else f"{value:,.0f}{NBSP}Hz"


def _whole(name: str) -> str:
    """Return a name that is not broken at its hyphens."""
    return name.replace("-", "\N{NON-BREAKING HYPHEN}")


def _kept(side: SideResult) -> int:
    return side.filters - len(side.set_aside)
