"""Figures over speakers: label histograms, confusion with the victim, recall."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attacker.lab.records import CampaignRecord
from attacker.lab.report.svg import GRID, INK, MUTED, SURFACE, WIDTH_IN
from attacker.lab.report.words import short, squeeze
from attacker.lab.results import SpeakerRecall
from attacker.lab.tables import count_labels

NAMED = 40
"""Up to so many speakers a figure names each."""
_MATRIX_TINT = (0.16, 0.47, 0.71)


def label_histograms(
    campaigns: tuple[CampaignRecord, ...], names: list[str], colors: dict[str, str]
) -> Figure:
    """Draw how often the victim gave each label, and how many of these answers were kept."""
    few = len(names) <= NAMED
    shown = [squeeze(name) for name in names]
    below_in = 0.058 * max(map(len, shown)) if few else 0.3
    size = (WIDTH_IN, (1.75 + below_in) * len(campaigns))
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(campaigns), 1, squeeze=False)[:, 0]
    for axes, campaign in zip(rows, campaigns, strict=True):
        counts = count_labels(campaign, len(names))
        order = np.lexsort((np.arange(len(names)), -counts.answered))
        color, x = colors[campaign.name], np.arange(len(names))
        width = 0.78 if few else 1.0
        axes.bar(x, counts.answered[order], width, color=color, alpha=0.28, label="answered")
        axes.bar(x, counts.kept[order], width, color=color, label="kept for training")
        top = 1.12 * max(1, int(counts.answered.max()))
        title = f"{short(campaign.name, 40)} · {short(campaign.sampler, 40)}"
        if campaign.cap is not None and campaign.cap.min() > top:
            title += " · no label reached its cap"
        elif campaign.cap is not None:
            cap = np.minimum(campaign.cap[order], top)
            edges = np.append(x - 0.5, x[-1] + 0.5)
            axes.stairs(cap, edges, color=INK, linewidth=1.1, baseline=None)
            axes.text(x[-1] + 0.5, cap[-1], " cap", color=INK, fontsize=8, va="center")
        axes.set_title(title, color=INK)
        axes.set_ylim(0, top)
        axes.set_xlim(-0.7, len(names) - 0.3)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="x", visible=False)
        if few:
            axes.set_xticks(x, [shown[index] for index in order], rotation=90, fontsize=7)
        axes.legend(frameon=False, loc="upper right", fontsize=8, labelcolor=MUTED, ncols=2)
        axes.set_ylabel("answers")
    if not few:
        rows[-1].set_xlabel("labels, most frequent first")
    return figure


def confusion_matrices(counts: dict[str, np.ndarray], names: list[str]) -> Figure:
    """Draw victim (rows, as shares) against surrogate (columns), one panel a campaign."""
    few = len(names) <= NAMED
    figure = Figure(figsize=(WIDTH_IN, 4.4 if len(counts) > 1 else 5.4))
    panels = figure.subplots(1, len(counts), squeeze=False, gridspec_kw={"wspace": 0.12})[0]
    for index, (axes, (name, matrix)) in enumerate(zip(panels, counts.items(), strict=True)):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        tint = np.empty((*share.shape, 4))
        tint[..., :3] = _MATRIX_TINT
        tint[..., 3] = np.sqrt(share)  # so that a share of a few per cent can be seen at all
        axes.imshow(tint, interpolation="none", aspect="equal")
        axes.set_title(short(name, 40), color=INK)
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.set_xlabel("the surrogate says")
        if few:
            ticks, labels = np.arange(len(names)), [squeeze(item, 16) for item in names]
            axes.set_xticks(ticks, labels, rotation=90, fontsize=6)
            axes.set_yticks(ticks, labels if index == 0 else [""] * len(ticks), fontsize=6)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panels[0].set_ylabel("the victim says")
    return figure


def recall_plot(
    victim: tuple[SpeakerRecall, ...],
    surrogates: dict[str, tuple[SpeakerRecall, ...]],
    colors: dict[str, str],
) -> Figure:
    """Draw each speaker's recall, victim's and surrogates', hardest speakers at the bottom."""
    order = [r.label for r in sorted(victim, key=_recall_key(victim, surrogates), reverse=True)]
    if len(order) > NAMED:
        return _recall_curves(victim, surrogates, colors)
    figure = Figure(figsize=(WIDTH_IN * 0.86, 0.21 * len(order) + 1.0))
    axes = figure.subplots()
    rows = np.arange(len(order))[::-1]
    everyone = [victim, *surrogates.values()]
    columns = np.array([[_value(model[label]) for label in order] for model in everyone])
    axes.hlines(rows, columns.min(axis=0), columns.max(axis=0), color=GRID, linewidth=2.2)
    axes.plot(columns[0], rows, "|", color=INK, markersize=12, markeredgewidth=1.6, label="victim")
    for name, values in zip(surrogates, columns[1:], strict=True):
        axes.plot(
            values,
            rows,
            "o",
            color=colors[name],
            markeredgecolor=SURFACE,
            markeredgewidth=1,
            label=short(name),
        )
    axes.set_yticks(rows, [squeeze(victim[label].name, 26) for label in order], fontsize=7.5)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xlim(-0.03, 1.03)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("recall on the speaker's test clips")
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=6,
        fontsize=8.5,
        labelcolor=MUTED,
        handletextpad=0.3,
    )
    return figure


def _recall_curves(
    victim: tuple[SpeakerRecall, ...],
    surrogates: dict[str, tuple[SpeakerRecall, ...]],
    colors: dict[str, str],
) -> Figure:
    """With many speakers: each model's recalls, sorted on their own."""
    figure = Figure(figsize=(WIDTH_IN * 0.86, 2.8))
    axes = figure.subplots()
    models = {"victim": (victim, INK)} | {n: (r, colors[n]) for n, r in surrogates.items()}
    for name, (recalls, color) in models.items():
        values = np.sort([_value(item) for item in recalls])[::-1]
        axes.plot(np.arange(1, len(values) + 1), values, color=color, label=short(name))
    axes.set_ylim(-0.02, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("speakers, best recognised first (each line in its own order)")
    axes.set_ylabel("recall")
    axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED)
    return figure


def _value(item: SpeakerRecall) -> float:
    return float("nan") if item.recall is None else item.recall.value


def _recall_key(
    victim: tuple[SpeakerRecall, ...], surrogates: dict[str, tuple[SpeakerRecall, ...]]
) -> Callable[[SpeakerRecall], tuple[float, ...]]:
    """Sort by the last surrogate's recall, then by the victim's; speakers without clips last."""
    models = [victim, *surrogates.values()][::-1]
    return lambda item: tuple(
        -1.0 if model[item.label].recall is None else _value(model[item.label]) for model in models
    )
