"""Fits detectors to a victim by its validation clips: one half the reference, one the thresholds.

The halves share no recording. Every window that a threshold is fitted to belongs to a user of
``shared.honest``, whom the laboratory sends to a service, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared import checkpoint
from shared.audio import to_int16
from shared.seeding import derive, numpy_stream
from victim_service.detectors.base import Detector, DetectorSpec, Reference, Seen
from victim_service.detectors.fitted import Fit, Fitted, ProfileScores, Thresholds, settings_of
from victim_service.detectors.honest import PROFILES, HonestTraffic, Network, Speech
from victim_service.detectors.running import scores
from victim_service.errors import StartError
from victim_service.train import Data, VictimRecipe, identity_of

TARGET = 0.001
MARGIN = 0.1
"""Of the distance from the median to the highest honest score. That score alone already asks for
fewer alarms than the target; windows of one user are alike, though."""
LONG_WINDOWS, SHORT_WINDOWS = 20, 2
"""How many windows users fill: half of all windows are of users who stay, because some detectors
remember, and half of users who come by, because those of one user are alike, and a threshold must
bear with users whom it was not fitted to."""
MOST_REFERENCE, MOST_RECORDINGS = 2000, 2000
"""Clips; more would make the start and the fit slow without making windows more alike."""

Progress = Callable[[int, int], None]
"""Told how many users are done, and of how many."""


@dataclass(frozen=True)
class Halves:
    """Recordings of the reference and of the thresholds, as indices into the store."""

    reference: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.int64]


def halve(data: Data, part: Sequence[int], seed: int) -> Halves:
    """Return two halves of ``part``, each with the same share of every speaker's clips.

    Raises:
        StartError: no speaker has two clips there.
    """
    rng = numpy_stream(seed, "halves")
    first: list[int] = []
    second: list[int] = []
    indices = rng.permutation(np.asarray(part, dtype=np.int64))
    for label in np.unique(data.labels[indices]):
        mine = indices[data.labels[indices] == label]
        first += mine[: (len(mine) + 1) // 2].tolist()
        second += mine[(len(mine) + 1) // 2 :].tolist()
    if not second:
        raise StartError(
            "no speaker has two validation clips, so thresholds would be fitted to the reference "
            "itself. Use a corpus with more clips for each speaker."
        )
    return Halves(_some(first, rng), np.sort(np.asarray(second, dtype=np.int64)))


def network_of(folder: Path, recipe: VictimRecipe, data: Data) -> tuple[Network, str]:
    """Return the checkpoint's network and its id.

    Raises:
        CheckpointError: the folder is no whole checkpoint.
        StartError: the checkpoint is not what ``recipe`` makes of this corpus.
    """
    from victim_service.model import Predictor  # torch takes seconds to import

    if checkpoint.load_card(folder).get("identity") != identity_of(recipe, data):
        raise StartError(
            f"{folder}: this checkpoint was not trained by recipe {recipe.name!r} on this "
            "audio, so its validation clips are not known. Name the recipe and corpus that it was "
            "trained by."
        )
    predictor = Predictor(folder, workers=1)
    classes = len(predictor.card.labels)

    def run(clips: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
        rows = predictor.predict(clips)
        return rows[:, classes:], rows[:, :classes]

    return run, predictor.card.checkpoint_id


def reference_of(
    data: Data, recipe: VictimRecipe, indices: npt.NDArray[np.int64], network: Network
) -> Reference:
    """Return the reference of the clips at ``indices``, which does not hold the clips."""
    found = []
    for start in range(0, len(indices), 64):
        clips = data.store.fixed_crops(indices[start : start + 64], recipe.clip_samples)
        found.append(network(clips))
    embeddings, probabilities = (np.concatenate(part) for part in zip(*found, strict=True))
    seen = Seen(embeddings, probabilities, np.zeros((len(indices), 0), np.float32))
    return Reference(seen, data.labels[indices], recipe.sample_rate_hz)


def traffic_of(
    data: Data,
    recipe: VictimRecipe,
    indices: npt.NDArray[np.int64],
    network: Network,
    seed: int,
) -> HonestTraffic:
    """Return the honest users who are made of the clips at ``indices``.

    Of more than ``MOST_RECORDINGS`` clips, those of fewer speakers are taken.
    """
    indices = _whole(indices, data, MOST_RECORDINGS, numpy_stream(seed, "speakers"))
    clips = to_int16(data.store.fixed_crops(indices, recipe.clip_samples))
    speech = Speech(clips, data.labels[indices], len(data.names), recipe.sample_rate_hz)
    return HonestTraffic(speech, network, seed)


def honest_scores(
    traffic: HonestTraffic,
    detectors: Mapping[str, Detector],
    windows: int,
    profiles: Sequence[str] = PROFILES,
    progress: Progress | None = None,
) -> dict[str, dict[str, list[list[float]]]]:
    """Return the scores of at least ``windows`` windows by kind and profile, a list a user.

    ``windows`` are shared out over ``profiles``.
    """
    users = stays(-(-windows // len(profiles)))
    found: dict[str, dict[str, list[list[float]]]] = {
        kind: {profile: [] for profile in profiles} for kind in detectors
    }
    widest = max(detector.window for detector in detectors.values())
    for number, filled in enumerate(users):
        for done, profile in enumerate(profiles, start=number * len(profiles)):
            if progress is not None:
                progress(done, len(users) * len(profiles))
            stream = traffic.stream(profile, number, filled * widest)
            for kind, detector in detectors.items():
                part = stream.part(0, filled * detector.window)
                found[kind][profile].append(list(scores(detector, part)))
    return found


def stays(windows: int) -> list[int]:
    """Return how many windows each user of a profile fills; together at least ``windows``."""
    long = -(-windows // (2 * LONG_WINDOWS))
    short = -(-(windows - long * LONG_WINDOWS) // SHORT_WINDOWS)
    return [LONG_WINDOWS] * long + [SHORT_WINDOWS] * max(0, short)


def fit_detectors(
    folder: Path,
    recipe: VictimRecipe,
    data: Data,
    specs: Sequence[DetectorSpec],
    *,
    windows: int = 8000,
    profiles: Sequence[str] = PROFILES,
    progress: Progress | None = None,
) -> Fitted:
    """Return ``specs`` fitted to the victim in ``folder``, which ``recipe`` made of ``data``.

    ``profiles`` are the kinds of users that honest traffic is made of.

    Raises:
        CheckpointError, StartError: see :func:`network_of` and :func:`halve`.
    """
    network, checkpoint_id = network_of(folder, recipe, data)
    seed = derive(recipe.seed, "detectors")
    halves = halve(data, data.split.validation, seed)
    reference = reference_of(data, recipe, halves.reference, network)
    traffic = traffic_of(data, recipe, halves.thresholds, network, seed)
    detectors = {spec.kind: spec.build(reference) for spec in specs}
    found = honest_scores(traffic, detectors, windows, profiles, progress)
    fits = {spec.kind: fit_of(spec, found[spec.kind]) for spec in specs}
    document = Thresholds(
        checkpoint=checkpoint_id,
        sample_rate_hz=recipe.sample_rate_hz,
        target=TARGET,
        seed=seed,
        fits=fits,
    )
    return Fitted(reference, document)


def fit_of(spec: DetectorSpec, by_profile: Mapping[str, Sequence[Sequence[float]]]) -> Fit:
    """Return the threshold of ``spec`` over honest scores: a margin above the highest of them."""
    every = summary([user for users in by_profile.values() for user in users])
    margin = MARGIN * (every.highest - every.median)
    return Fit(
        settings=settings_of(spec),
        threshold=every.highest + margin,
        margin=margin,
        profiles={profile: summary(part) for profile, part in by_profile.items()},
        **every.model_dump(),
    )


def summary(users: Sequence[Sequence[float]]) -> ProfileScores:
    """Return the figures of the scores of some users."""
    found = np.concatenate([np.asarray(user, dtype=np.float64) for user in users])
    median, q999, highest = np.quantile(found, [0.5, 1 - TARGET, 1.0]).tolist()
    return ProfileScores(
        windows=len(found), users=len(users), median=median, q999=q999, highest=highest
    )


def _some(indices: list[int], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.sort(rng.permutation(np.asarray(indices, dtype=np.int64))[:MOST_REFERENCE])


def _whole(
    every: npt.NDArray[np.int64], data: Data, most: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return at most ``most`` clips, all those of as many speakers as that makes.

    A stream of one speaker needs all of that speaker's clips.
    """
    labels = data.labels[every]
    kept: list[int] = []
    for label in rng.permutation(np.unique(labels)):
        mine = every[labels == label]
        if kept and len(kept) + len(mine) > most:
            break
        kept += mine.tolist()
    return np.sort(np.asarray(kept, dtype=np.int64))
