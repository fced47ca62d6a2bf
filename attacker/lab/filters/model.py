"""Any checkpoint of a speaker network, read for its filters: a victim, a surrogate, a source task.

A checkpoint is taken for what its card holds, never for its kind: ``network``, ``labels``,
``sample_rate_hz`` and ``clip_samples`` are all that filters need.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from attacker.errors import ExperimentError
from shared import checkpoint
from shared.networks import KnaggCNN, NetworkSpec

ALL_LAYERS = "all"
_NEEDED = ("network", "labels", "sample_rate_hz", "clip_samples")


@dataclass(frozen=True)
class FilterModel:
    """A network in evaluation mode with what its card says of it."""

    name: str
    """Name of its folder."""
    folder: Path
    kind: str
    """What the card says that it is, for example ``victim``."""
    checkpoint: str
    """sha256 of its tensors."""
    labels: tuple[str, ...]
    sample_rate_hz: int
    clip_samples: int
    network: KnaggCNN


def load_model(folder: Path) -> FilterModel:
    """Read the checkpoint in ``folder``.

    Raises:
        CheckpointError: it is missing or altered, or no checkpoint of a KnaggCNN.
    """
    tensors, card = checkpoint.load(folder)
    missing = [name for name in _NEEDED if not card.get(name)]
    if missing:
        raise checkpoint.CheckpointError(
            f"{folder}: a checkpoint of kind {card.get('kind')!r} whose card lacks "
            f"{', '.join(missing)}, so it is no speaker network. Name the folder of a victim, of a "
            "surrogate or of a source task."
        )
    network = _build(folder, card)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise checkpoint.CheckpointError(
            f"{folder}: the card's network does not fit the tensors. Train it again."
        ) from error
    return FilterModel(
        name=folder.resolve().name,
        folder=folder,
        kind=str(card.get("kind")),
        checkpoint=str(card["tensors_sha256"]),
        labels=tuple(str(label) for label in card["labels"]),
        sample_rate_hz=int(card["sample_rate_hz"]),
        clip_samples=int(card["clip_samples"]),
        network=network.eval().requires_grad_(False),
    )


def choose_layers(text: str) -> tuple[str, ...]:
    """Return the layers that ``text`` names, separated by commas, from the input to the head.

    Raises:
        ExperimentError: one of them is none, or there is none.
    """
    known = KnaggCNN.LAYERS
    named = {word.strip() for word in text.split(",") if word.strip()}
    if named == {ALL_LAYERS}:
        return known
    unknown = sorted(named - set(known))
    if unknown or not named:
        what = f"there is no layer {', '.join(map(repr, unknown))}" if unknown else "none is named"
        raise ExperimentError(
            f"--layers: {what}. Name some of {', '.join(known)}, separated by commas, "
            f"or `{ALL_LAYERS}`."
        )
    return tuple(layer for layer in known if layer in named)


def demand_one_rate(a: FilterModel, b: FilterModel) -> None:
    """Refuse two models whose signals cannot be compared.

    Raises:
        ExperimentError: their sample rates differ.
    """
    if a.sample_rate_hz != b.sample_rate_hz:
        raise ExperimentError(
            f"{a.folder} hears {a.sample_rate_hz} Hz and {b.folder} {b.sample_rate_hz} Hz: the "
            "same sample stands for another moment in each, so their filters cannot be matched. "
            "Name two models of one sample rate."
        )


def _build(folder: Path, card: dict[str, Any]) -> KnaggCNN:
    reader: TypeAdapter[Any] = TypeAdapter(NetworkSpec)
    try:
        network = reader.validate_python(card["network"]).build(len(card["labels"]))
    except ValidationError as error:
        raise checkpoint.CheckpointError(
            f"{folder}: this version does not know the card's network. Use the version that "
            "trained it, or train it again."
        ) from error
    if not isinstance(network, KnaggCNN):
        raise checkpoint.CheckpointError(
            f"{folder}: a network of kind {card['network'].get('kind')!r}. Filters are maximised "
            "for knagg_cnn alone; name a checkpoint of one."
        )
    return network
