"""The page's sentences: what the control found, and what its intervals do not decide."""

from dataclasses import dataclass

from attacker.lab.report.words import NBSP, percent, points
from attacker.lab.results import Verdict
from attacker.lab.vision.results import Mean, VisionResults

ONE_SEED = "one seed"
TASKS = {"victim": "the victim itself", "proxy": "the proxy's task"}
"""Where first layers come from, as figures and tables say it."""


@dataclass(frozen=True)
class Headline:
    """The page in two sentences."""

    finding: str
    verdict: str
    mood: Verdict | str
    """How the verdict is marked; ``none`` where there is nothing to decide."""


def headline(results: VisionResults) -> Headline:
    """Say what giving layers did, and whether it mattered on which task they were learnt."""
    curve = results.curves[0]
    first, last = curve.points[0], curve.points[-1]
    whose = "of the victim's own" if curve.source == "victim" else "of the proxy's model as its"
    finding = (
        f"Given no layer, the surrogate is right on {percent(first.accuracy.value)} of unseen "
        f"images; given {last.first_layers} {whose} first layers, on "
        f"{percent(last.accuracy.value)}."
    )
    verdict, mood = _verdict(results)
    return Headline(finding, verdict, mood)


def notes(results: VisionResults) -> list[str]:
    """Say which models do not know their own task, for their layers are then worth nothing."""
    return [
        f"The model of the {model.task}'s task is not shown to be above chance on it "
        f"({percent(model.accuracy.value)} of {model.test_images:,} test images, {model.classes} "
        "classes), so its layers hold nothing to extract. Give it more images or more epochs."
        for model in results.models
        if model.accuracy.low <= 1 / model.classes
    ]


def share_spread(mean: Mean) -> str:
    """Return the interval of a share, such as ``74.1 to 82.0 %``."""
    if mean.low is None or mean.high is None:
        return ONE_SEED
    return f"{100 * mean.low:.1f} to {100 * mean.high:.1f}{NBSP}%"


def points_spread(mean: Mean) -> str:
    """Return the interval of a difference, such as ``+2.1 to +10.4``."""
    if mean.low is None or mean.high is None:
        return ONE_SEED
    return f"{points(mean.low)} to {points(mean.high)}"


def _verdict(results: VisionResults) -> tuple[str, Verdict | str]:
    if not results.contrasts:
        only = results.curves[0].source
        return f"Only the {only}'s layers were given, so no other task is there to compare.", "none"
    last = results.contrasts[-1]
    size = f"{points(last.accuracy.value)} points of accuracy"
    opening = f"At k = {last.first_layers}, layers learnt on the proxy's task are worth {size}"
    if last.accuracy.low is None:
        text = f"{opening} against the victim's own. One seed gives no interval: nothing is decided"
        return f"{text}. Name more seeds.", "undecided"
    interval = f"95{NBSP}% interval {points_spread(last.accuracy)}"
    ending = {
        "above": "more was learnt from them",
        "below": "less was learnt from them",
        "undecided": "whether the task matters is not decided",
    }[last.accuracy.verdict]
    return f"{opening} against the victim's own, {interval}: {ending}.", last.accuracy.verdict
