"""How far a model's confidence is from how often it is right."""

import numpy as np

BINS = 15


def expected_calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS
) -> float:
    """Return the mean distance of confidence and accuracy, in [0, 1].

    Clips are put into ``bins`` equal parts of [0, 1] by the probability of their most probable
    label of ``probabilities`` (N, K), and weighed by their number; ``truth`` is (N,).

    Raises:
        ValueError: there are no clips.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """
    if len(probabilities) != len(truth) or not len(truth):
        raise ValueError(f"{len(probabilities)} rows and {len(truth)} labels. Give one a clip.")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))
