"""What an honest user loses to a plan: accuracy, calibration, time and answers."""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from attacker.lab.benign.drive import Buyer, Driven
from attacker.lab.calibration import expected_calibration_error
from attacker.oracle import as_rows
from shared.config import Frozen
from shared.contract import DetectorReading
from shared.metrics import accuracy


class HonestRow(Frozen):
    """One user under one plan. Shares are in [0, 1]; None where nothing was answered."""

    study: str = ""
    plan: str
    user: str
    seed: int
    account: str
    clips: int
    """Clips that the user sent."""
    answered: int
    refused: int
    """Clips that were never answered."""
    refusals: Mapping[str, int] = Field(default_factory=dict)
    """Refused requests by code; most are answered when they are sent again."""
    given_up: Mapping[str, int] = Field(default_factory=dict)
    """Clips that were never answered, by reason."""
    accuracy: float | None
    """Of the answered clips, against who speaks."""
    victim_accuracy: float | None
    """The model's own on the same clips, undefended."""
    ece: float | None
    victim_ece: float | None
    l1: float | None
    """Mean L1 distance of an answer to the undefended one, in [0, 2]."""
    p50_ms: float | None
    """Of a request, from sending to answer, refusals between included."""
    p99_ms: float | None
    base_p50_ms: float | None
    """The same of an undefended plan, asked in the same moments."""
    base_p99_ms: float | None
    rate_per_s: float
    batch_clips: int
    windows: int
    """Windows that detectors closed."""
    alarms: int
    detectors: Mapping[str, tuple[int, int]] = Field(default_factory=dict)
    """By detector, its windows and its alarms."""


def windows_by_detector(readings: Sequence[DetectorReading]) -> dict[str, tuple[int, int]]:
    """Return for each detector how many windows it closed, and how many were alarms."""
    return {
        name: (len(own), sum(reading.alarm for reading in own))
        for name in sorted({reading.detector for reading in readings})
        for own in [[reading for reading in readings if reading.detector == name]]
    }


def quality(driven: Driven, model: np.ndarray, n_classes: int) -> dict[str, float | None]:
    """Return accuracy, calibration and distance of the answered clips.

    ``model`` (A, K) are the undefended answers to them. A label alone counts as all probability on
    it, for that is what it tells.
    """
    names = ("accuracy", "victim_accuracy", "ece", "victim_ece", "l1")
    if not driven.answered.any():
        return dict.fromkeys(names)
    truth = driven.truth[driven.answered]
    rows = as_rows(driven.answers, n_classes)
    return {
        "accuracy": accuracy(rows.argmax(axis=1), truth),
        "victim_accuracy": accuracy(model.argmax(axis=1), truth),
        "ece": expected_calibration_error(rows, truth),
        "victim_ece": expected_calibration_error(model, truth),
        "l1": float(np.abs(rows.astype(np.float64) - model).sum(axis=1).mean()),
    }


def latencies(buyer: Buyer, base: Buyer) -> dict[str, float | None]:
    """Return the median and the 99th percentile of both, in ms."""
    return {
        f"{prefix}{name}_ms": float(np.quantile(one.latencies_s, at)) * 1000
        if one.latencies_s
        else None
        for prefix, one in (("", buyer), ("base_", base))
        for name, at in (("p50", 0.5), ("p99", 0.99))
    }
