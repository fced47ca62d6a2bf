"""The reverse sigmoid against its closed form, and what its settings do to many labels."""

import numpy as np
import pytest

from victim_service.defences import Asked, defend
from victim_service.defences.reverse_sigmoid import ReverseSigmoidSpec, bend

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def answers(rows: np.ndarray, **settings: object) -> np.ndarray:
    spec = ReverseSigmoidSpec.model_validate(settings)
    clips = np.zeros((len(rows), 4), np.float32)
    return defend(rows.astype(np.float32), clips, (spec,), ASKED)


def sharp(classes: int, count: int = 500) -> np.ndarray:
    """Rows of a sure model: about 0.9 on one label, the rest uneven."""
    rng = np.random.default_rng(classes)
    rows = 0.1 * rng.dirichlet(np.full(classes, 0.05), count)
    rows[np.arange(count), rng.integers(classes, size=count)] += 0.9
    return rows


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("beta", "gamma"), [(1.0, 0.1), (1.0, 1.0), (0.008, 0.2), (0.3, 2.0), (0.6, 100.0)]
)
def test_two_labels_in_closed_form(beta, gamma):
    p = np.linspace(0, 1, 41)
    guarded = np.clip(p, 1e-9, 1 - 1e-9)
    # sigmoid(gamma logit(p)) = p^gamma / (p^gamma + (1 - p)^gamma); of two labels what one loses
    # the other gains, so that nothing but the clip at 0 needs a new scale.
    powers = guarded**gamma, (1 - guarded) ** gamma
    moved = p - beta * (powers[0] / (powers[0] + powers[1]) - 0.5)
    expected = np.clip(moved, 0, None) / (np.clip(moved, 0, None) + np.clip(1 - moved, 0, None))
    found = answers(np.stack([p, 1 - p], axis=1), beta=beta, gamma=gamma, preserve_argmax=False)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


def test_one_hot_rows_by_hand():
    # logit of the guard is -20.72; at gamma 0.1 its sigmoid is 0.1118.
    bent = bend(np.eye(3)[:1], 1.0, 0.1)
    gain = 0.5 - 1 / (1 + 1e9**0.1)
    top = 1 - gain
    np.testing.assert_allclose(
        bent, [[top / (top + 2 * gain), gain / (top + 2 * gain), gain / (top + 2 * gain)]], 1e-6
    )


def test_settings_for_ten_labels_lose_the_label_of_many():
    rows = sharp(300)
    top = rows.argmax(axis=1)
    lost = answers(rows, beta=1.0, gamma=1.0, preserve_argmax=False)
    assert np.mean(lost.argmax(axis=1) != top) > 0.2
    kept = answers(rows, beta=1.0, gamma=1.0)
    np.testing.assert_array_equal(kept.argmax(axis=1), top)
    np.testing.assert_allclose(np.sort(kept, axis=1), np.sort(lost, axis=1), atol=1e-6)


@pytest.mark.parametrize("classes", [20, 256, 1251])
def test_beta_of_two_over_k_moves_rows_of_k_labels_alike_and_flips_none(classes):
    rows = sharp(classes)
    found = answers(rows, beta=2 / classes, gamma=0.2, preserve_argmax=False)
    np.testing.assert_array_equal(found.argmax(axis=1), rows.argmax(axis=1))
    assert 0.8 < np.abs(found - rows).sum(axis=1).mean() < 0.92


def test_a_distance_target_is_met():
    rows = sharp(50)
    far = np.abs(answers(rows, beta=1.0, gamma=0.2, epsilon=0.5) - rows).sum(axis=1)
    assert far.max() <= 0.5 + 1e-6
    assert far.min() > 0.5 - 1e-6
