"""Noise against the moments of its distribution and the geometry of what brings it back."""

import numpy as np
import pytest
from scipy.optimize import minimize

from victim_service.defences import Asked, defend
from victim_service.defences.noise import NoiseSpec
from victim_service.defences.simplex import exact, let_lead, project, pull_near

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)
ROW = np.array([0.4, 0.3, 0.2, 0.1])
DRAWS = 4000


def drawn(row: np.ndarray = ROW, **settings: object) -> np.ndarray:
    """The answers (B, K) to as many clips that have the same probabilities."""
    rows = np.tile(row.astype(np.float32), (DRAWS, 1))
    clips = np.arange(DRAWS, dtype=np.float32)[:, np.newaxis]
    return defend(rows, clips, (NoiseSpec.model_validate(settings),), ASKED).astype(np.float64)


def centred(rows: np.ndarray) -> np.ndarray:
    deviations: np.ndarray = rows - rows.mean(axis=0)
    return deviations


def test_gaussian_noise_is_as_large_as_it_says():
    # Far from the edge, the projection takes away the noise's mean over the labels and no more.
    rows = drawn(scale=0.01)
    np.testing.assert_allclose(rows.mean(axis=0), ROW, atol=0.001)
    np.testing.assert_allclose(rows.std(axis=0), 0.01 * np.sqrt(3 / 4), rtol=0.05)


def test_uniform_noise_is_as_wide_as_it_says():
    rows = drawn(scale=0.01, distribution="uniform")
    np.testing.assert_allclose(rows.std(axis=0), 0.01 / np.sqrt(3) * np.sqrt(3 / 4), rtol=0.05)
    assert np.abs(rows - ROW).max() <= 0.01 * 2 * 3 / 4 + 1e-6


@pytest.mark.parametrize(
    ("distribution", "deviation"), [("gaussian", 0.5), ("uniform", 0.5 / np.sqrt(3))]
)
def test_noise_on_logits_moves_their_differences(distribution, deviation):
    logits = np.log(drawn(scale=0.5, distribution=distribution, added_to="logits"))
    between = logits[:, 0] - logits[:, 3]
    assert between.mean() == pytest.approx(np.log(4), abs=0.05)
    assert between.std() == pytest.approx(deviation * np.sqrt(2), rel=0.05)


def test_noise_on_logits_revives_nothing():
    row = np.array([0.7, 0.3, 0.0, 0.0])
    assert drawn(row, scale=3.0, added_to="logits")[:, 2:].max() == 0


@pytest.mark.parametrize("scale", [0.05, 0.3, 0.7])
def test_dirichlet_noise_has_the_mean_and_the_deviation_it_says(scale):
    rows = drawn(scale=scale, distribution="dirichlet")
    np.testing.assert_allclose(rows.mean(axis=0), ROW, atol=5 * scale / np.sqrt(DRAWS))
    np.testing.assert_allclose(rows.std(axis=0), scale * np.sqrt(ROW * (1 - ROW)), rtol=0.06)


def test_a_kept_label_costs_no_distance():
    free = drawn(scale=0.3, epsilon=0.8)
    kept = drawn(scale=0.3, epsilon=0.8, preserve_argmax=True)
    flipped = free.argmax(axis=1) != 0
    assert 0.1 < flipped.mean() < 0.9
    assert (kept.argmax(axis=1) == 0).all()
    np.testing.assert_array_equal(free[~flipped], kept[~flipped])
    np.testing.assert_allclose(np.sort(free, axis=1), np.sort(kept, axis=1), atol=1e-6)
    far_free, far_kept = (np.abs(rows - ROW).sum(axis=1) for rows in (free, kept))
    assert (far_kept <= far_free + 1e-6).all()


def test_the_ball_is_reached_and_not_left():
    far = np.abs(drawn(scale=0.3, epsilon=0.2) - ROW).sum(axis=1)
    assert far.max() <= 0.2 + 1e-6
    assert np.mean(far > 0.2 - 1e-6) > 0.5


def test_a_label_that_leads_is_left_alone():
    rows = np.array([[0.2, 0.5, 0.3], [0.5, 0.2, 0.3]])
    np.testing.assert_array_equal(
        let_lead(rows.copy(), np.array([1, 2])), [[0.2, 0.5, 0.3], [0.3, 0.2, 0.5]]
    )


def test_pulling_goes_straight_and_no_further_than_needed():
    centre = np.tile([0.5, 0.3, 0.2], (2, 1))
    rows = np.array([[0.1, 0.3, 0.6], [0.45, 0.3, 0.25]])
    np.testing.assert_allclose(
        pull_near(rows, centre, 0.2), [[0.4, 0.3, 0.3], [0.45, 0.3, 0.25]], atol=1e-12
    )


def test_projection_is_the_nearest_point_that_a_solver_finds():
    rng = np.random.default_rng(0)
    for classes in (2, 3, 6):
        far = rng.normal(0, 0.7, (3, classes))
        for row, near in zip(far, project(far), strict=True):
            found = minimize(
                lambda x, row=row: ((x - row) ** 2).sum(),
                np.full(classes, 1 / classes),
                bounds=[(0, 1)] * classes,
                constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
                options={"ftol": 1e-12},
            )
            np.testing.assert_allclose(near, found.x, atol=1e-5)


def test_what_is_on_the_simplex_is_its_own_projection():
    rows = exact(np.random.default_rng(0).dirichlet(np.ones(300), 4).astype(np.float32))
    np.testing.assert_allclose(project(rows), rows, atol=1e-12)
