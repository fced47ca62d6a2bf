"""What of the model's probabilities is released, by label mode and by media type."""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.audio import to_npy
from shared.contract import JSON_MEDIA_TYPE, NPY_MEDIA_TYPE, LabelMode
from victim_service.defences.rounding import round_rows
from victim_service.defences.temperature import temper
from victim_service.plans import Plan

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Released:
    """What leaves the house for B clips."""

    label_mode: LabelMode
    labels: npt.NDArray[np.int64]
    """(B,) most probable label of each clip."""
    probabilities: Probabilities | None
    """(B, K); None in hard mode; in top_k mode 0 for what is withheld."""
    top_k: int | None = None
    decimals: int | None = None


def release(probabilities: Probabilities, plan: Plan) -> Released:
    """Reduce ``probabilities`` (B, K) to what the label mode of ``plan`` lets out.

    No mode changes the most probable label. Ties go to the smaller label, so that an answer is a
    function of its probabilities.
    """
    labels = probabilities.argmax(axis=1)
    mode = plan.label_mode
    if mode == "hard":
        return Released(mode, labels, None)
    if mode == "top_k" and plan.top_k is not None:
        return Released(mode, labels, keep_largest(probabilities, plan.top_k), plan.top_k)
    if mode == "rounded" and plan.decimals is not None:
        shown = round_rows(probabilities, plan.decimals)
        return Released(mode, labels, shown, decimals=plan.decimals)
    if mode == "temperature" and plan.temperature is not None:
        return Released(mode, labels, temper(probabilities, plan.temperature))
    return Released(mode, labels, probabilities)


def keep_largest(probabilities: Probabilities, count: int) -> Probabilities:
    """Return rows (B, K) in which all but the ``count`` largest entries are 0."""
    if count >= probabilities.shape[1]:
        return probabilities
    kept = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    shown = np.zeros_like(probabilities)
    np.put_along_axis(shown, kept, np.take_along_axis(probabilities, kept, axis=1), axis=1)
    return shown


def encode(released: Released, names: list[str], media_type: str) -> bytes:
    """Return the body of an answer: npy (float32 (B, K), or int64 (B,) in hard mode) or JSON."""
    if media_type == NPY_MEDIA_TYPE:
        shown = released.probabilities
        return to_npy(released.labels if shown is None else shown)
    if media_type != JSON_MEDIA_TYPE:
        raise ValueError(f"no answer is written as {media_type}. Ask for JSON or npy.")
    answers = [_clip(released, names, place) for place in range(len(released.labels))]
    return json.dumps(
        {"label_mode": released.label_mode, "answers": answers}, allow_nan=False
    ).encode()


def _clip(released: Released, names: list[str], place: int) -> dict[str, object]:
    label = int(released.labels[place])
    answer: dict[str, object] = {"label": label, "name": names[label]}
    if released.probabilities is None:
        return answer
    row = released.probabilities[place]
    if released.decimals is not None:
        # Without the digits that float32 adds: 0.3, not 0.30000001192092896.
        short = [round(value, released.decimals) for value in row.tolist()]
        return {**answer, "probabilities": short}
    if released.label_mode != "top_k":
        return {**answer, "probabilities": row.tolist()}
    order = np.argsort(-row, kind="stable")[: released.top_k]
    top = [{"label": int(k), "name": names[k], "probability": float(row[k])} for k in order]
    return {**answer, "top": top, "remainder": max(0.0, 1.0 - float(row.sum(dtype=np.float64)))}
