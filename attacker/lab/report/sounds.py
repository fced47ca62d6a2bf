"""Clips to listen to: real, proxy and synthetic ones that the victim takes for one speaker."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.image import imsave

from attacker.lab.bundle import Bundle
from attacker.lab.records import CampaignRecord, RemakeError, RunRecord
from shared.audio import resample, to_wav

PLAYABLE_HZ = 8000
"""Browsers do not play every rate below this; slower clips are resampled for playback only."""
_WINDOW_SAMPLES = 256
_RANGE_DB = 70.0


_FIRST_SOURCES = ("proxy", "wavegan")


@dataclass(frozen=True)
class Sound:
    """One clip with its spectrogram, both as ``data:`` URIs."""

    origin: str
    confidence: float
    """Probability that the victim gives to the row's speaker; NaN where it was not released."""
    kept: bool | None
    """Whether the sampler kept it; None for a real clip."""
    audio: str
    picture: str


@dataclass(frozen=True)
class SoundRow:
    """Clips that the victim takes for ``speaker``; None where a campaign has none."""

    speaker: str
    sounds: tuple[Sound | None, ...]


@dataclass(frozen=True)
class SoundTable:
    """Rows of speakers, columns of origins."""

    columns: tuple[str, ...]
    rows: tuple[SoundRow, ...]
    notes: tuple[str, ...] = ()


def collect_sounds(
    run: RunRecord, bundle: Bundle, victim: np.ndarray, *, speakers: int = 3, campaigns: int = 2
) -> SoundTable:
    """Choose the speakers of whom every origin has the most convincing clip, and fetch the clips.

    ``victim`` holds the victim's probabilities (N, K) on the bundle's clips. The first campaigns
    to be shown are one of real speech and one of synthetic speech, wherever they stand in the run.
    """
    shown = _choose_campaigns(run, campaigns)
    best = [_best_positions(item, bundle.n_classes) for item in shown]
    real = _best_real(bundle, victim)
    labels = _choose_labels(real, best, speakers)
    notes: list[str] = []
    columns: list[tuple[str, list[Sound | None]]] = [
        ("real: the victim's test split", _real_sounds(bundle, victim, real, labels))
    ]
    for campaign, positions in zip(shown, best, strict=True):
        try:
            sounds = _sent_sounds(campaign, positions, labels, bundle.sample_rate_hz)
        except RemakeError as error:
            notes.append(f"The clips of {campaign.name} could not be made again: {error}")
            continue
        columns.append((f"{campaign.name}: sent from {campaign.source}", sounds))
    rows = tuple(
        SoundRow(bundle.names[label], tuple(sounds[index] for _, sounds in columns))
        for index, label in enumerate(labels)
    )
    return SoundTable(tuple(title for title, _ in columns), rows, tuple(notes))


def _choose_campaigns(run: RunRecord, most: int) -> list[CampaignRecord]:
    """Return up to ``most`` campaigns, in the order of the run."""
    able = [item for item in run.campaigns if item.queries and item.remake]
    firsts = [next((item for item in able if item.source == kind), None) for kind in _FIRST_SOURCES]
    wanted = [item for item in firsts if item is not None]
    wanted += [item for item in able if item not in wanted]
    return [item for item in able if item in wanted[:most]]


def _best_positions(campaign: CampaignRecord, n_classes: int) -> dict[int, int]:
    """By label, the position of the query that the victim was surest of, kept ones first."""
    sureness = np.nan_to_num(campaign.confidence, nan=0.5) + campaign.kept
    order = np.argsort(sureness, kind="stable")
    best = {int(campaign.labels[position]): int(position) for position in order}
    return {label: position for label, position in best.items() if label < n_classes}


def _best_real(bundle: Bundle, victim: np.ndarray) -> dict[int, int]:
    """By label, the position of the speaker's test clip that the victim is surest of."""
    sureness = victim[np.arange(len(victim)), bundle.labels]
    order = np.argsort(sureness, kind="stable")
    return {int(bundle.labels[position]): int(position) for position in order}


def _choose_labels(
    real: dict[int, int], best: Sequence[dict[int, int]], wanted: int
) -> tuple[int, ...]:
    """Take the labels that most origins have; among equals, those that come first."""
    found = {label: sum(label in positions for positions in best) for label in real}
    return tuple(sorted(found, key=lambda label: (-found[label], label))[:wanted])


def _real_sounds(
    bundle: Bundle, victim: np.ndarray, real: dict[int, int], labels: Sequence[int]
) -> list[Sound | None]:
    sounds: list[Sound | None] = []
    for label in labels:
        wave = bundle.clips[real[label]].astype(np.float32) / 32768
        sureness = float(victim[real[label], label])
        sounds.append(make_sound(wave, bundle.sample_rate_hz, "real", sureness, None))
    return sounds


def _sent_sounds(
    campaign: CampaignRecord, best: dict[int, int], labels: Sequence[int], rate_hz: int
) -> list[Sound | None]:
    wanted = [label for label in labels if label in best]
    if not wanted or campaign.remake is None:
        return [None] * len(labels)
    waves = campaign.remake([best[label] for label in wanted])
    made = {
        label: make_sound(
            wave,
            rate_hz,
            campaign.source,
            float(campaign.confidence[best[label]]),
            bool(campaign.kept[best[label]]),
        )
        for label, wave in zip(wanted, waves, strict=True)
    }
    return [made.get(label) for label in labels]


def make_sound(
    wave: np.ndarray, rate_hz: int, origin: str, confidence: float, kept: bool | None
) -> Sound:
    """Return the clip ``wave`` (T,) float32 as playable audio and as a picture."""
    return Sound(
        origin=origin,
        confidence=confidence,
        kept=kept,
        audio=data_uri("audio/wav", playable_wav(wave, rate_hz)),
        picture=data_uri("image/png", spectrogram_png(wave)),
    )


def playable_wav(wave: np.ndarray, rate_hz: int) -> bytes:
    """Return ``wave`` (T,) float32 as a WAV file of a rate that every browser plays."""
    if rate_hz < PLAYABLE_HZ:
        wave, rate_hz = resample(wave, rate_hz, PLAYABLE_HZ), PLAYABLE_HZ
    return to_wav(np.clip(wave, -1, 1), rate_hz)


def spectrogram_png(wave: np.ndarray, *, range_db: float = _RANGE_DB) -> bytes:
    """Return a log-magnitude spectrogram of ``wave`` (T,): time to the right, low tones below.

    What lies more than ``range_db`` below the strongest tone is black.
    """
    samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    window = min(_WINDOW_SAMPLES, len(samples))
    hop = max(1, len(samples) // 200)
    bins = torch.stft(
        samples, window, hop, window=torch.hann_window(window), return_complex=True, center=False
    )
    level = 20 * torch.log10(bins.abs() + 1e-6).numpy()
    out = io.BytesIO()
    top = max(float(level.max()), -60.0)  # so that silence is dark instead of amplified noise
    imsave(out, level, cmap="magma", origin="lower", vmin=top - range_db, vmax=top, format="png")
    return out.getvalue()


def data_uri(media_type: str, data: bytes) -> str:
    """Return ``data`` as a URI that needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
