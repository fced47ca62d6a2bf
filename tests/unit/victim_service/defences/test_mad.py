"""MAD against gradients taken by torch, against all subsets, and against its own budget."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.support.rows import KINDS, make_row
from victim_service.defences import Asked, clip_digests, defend
from victim_service.defences.last_layer import says, turn
from victim_service.defences.mad import MadSpec, best_label, best_share, towards
from victim_service.defences.simplex import exact, softmax

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def drawn(classes: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every kind (B, K), and what students say (B, K)."""
    rng = np.random.default_rng(classes)
    rows = np.stack([make_row(kind, classes, rng) for kind in KINDS for _ in range(count // 6)])
    powers = np.exp(rng.normal(0, 1, rows.shape))
    return exact(rows.astype(np.float32)), powers / powers.sum(axis=1, keepdims=True)


def clips_for(rows: np.ndarray) -> np.ndarray:
    return np.linspace(-1, 1, len(rows), dtype=np.float32)[:, np.newaxis]


def test_the_turn_is_that_of_the_gradients_of_a_whole_last_layer():
    """The outer product with the features, by autograd, against rows over labels alone."""
    rng = np.random.default_rng(0)
    honest, other = (rng.dirichlet(np.ones(6)) for _ in range(2))
    features = torch.from_numpy(rng.normal(size=9))
    weights = torch.from_numpy(rng.normal(size=(6, 9))).requires_grad_()

    def direction(answer: np.ndarray) -> torch.Tensor:
        loss = -(torch.from_numpy(answer) * torch.log_softmax(weights @ features, dim=0)).sum()
        (gradient,) = torch.autograd.grad(loss, weights)
        return gradient / gradient.norm()

    expected = float((direction(honest) - direction(other)).square().sum())
    student = torch.softmax(weights @ features, dim=0).detach().numpy()
    found = turn(student[np.newaxis], honest[np.newaxis], other[np.newaxis])
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_corner_of_the_extreme_variant_is_the_best_label():
    rows, student = drawn(7)
    found = turn(student, rows, best_label(rows, student))
    tried = [turn(student, rows, np.tile(corner, (len(rows), 1))) for corner in np.eye(7)]
    np.testing.assert_allclose(found, np.max(tried, axis=0), atol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("surely", [0.0, 30.0, 60.0, 800.0])
def test_of_two_labels_the_best_is_the_one_behind_the_student(surely):
    """Seen from the answer: there the gradient is turned about, however sure the student is."""
    shares = np.linspace(0.001, 0.999, 50)
    rows = np.stack([shares, 1 - shares], axis=1)
    student = softmax(np.tile([surely, 0.0], (50, 1)))
    behind = np.where(student[:, 0] > rows[:, 0], 0, 1)
    found = best_label(rows, student).argmax(axis=1)
    np.testing.assert_array_equal(found, behind)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("variant", ["argmax", "extreme"])
@pytest.mark.parametrize("classes", [2, 9])
def test_the_widest_spread_is_computed_without_a_warning(variant, classes):
    rows = np.random.default_rng(0).dirichlet(np.ones(classes), 400).astype(np.float32)
    spec = MadSpec(epsilon=0.5, variant=variant, spread=10.0)
    told = defend(rows, clips_for(rows), (spec,), ASKED)
    assert np.abs(told - rows).sum(axis=1).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("classes", [2, 3, 5, 8])
def test_the_corner_of_the_argmax_variant_is_nearly_always_the_best_of_all_subsets(classes):
    rows, student = drawn(classes, 240)
    top = rows.argmax(axis=1)
    corners = best_share(rows, student, top)
    members = corners > 0
    np.testing.assert_allclose(corners, members / members.sum(axis=1, keepdims=True))
    assert members[np.arange(len(rows)), top].all()
    best = np.zeros((len(rows), 1))
    for subset in product([0.0, 1.0], repeat=classes):
        if any(subset):
            corner = np.tile(np.array(subset) / sum(subset), (len(rows), 1))
            allowed = corner[np.arange(len(rows)), top][:, np.newaxis] > 0
            best = np.maximum(best, np.where(allowed, turn(student, rows, corner), 0))
    short = best - turn(student, rows, corners)
    assert short.min() > -1e-9
    assert short.max() < 0.1
    assert (short < 1e-9).mean() >= 0.95


@pytest.mark.parametrize("variant", ["argmax", "extreme"])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 2.0])
def test_the_budget_is_spent_and_the_gradient_turns_all_the_way(variant, epsilon):
    rows, student = drawn(20)
    top = rows.argmax(axis=1)
    corners = best_label(rows, student) if variant == "extreme" else best_share(rows, student, top)
    moved = towards(rows, corners, epsilon)
    room = np.abs(corners - rows).sum(axis=1)
    np.testing.assert_allclose(np.abs(moved - rows).sum(axis=1), np.minimum(room, epsilon))
    steps = [turn(student, rows, towards(rows, corners, part * epsilon)) for part in (0.3, 0.6, 1)]
    for less, more in zip([np.zeros_like(steps[0]), *steps], steps, strict=False):
        assert (more >= less - 1e-9).all()
    assert np.median(steps[-1]) > {0.1: 1e-3, 1.0: 0.2, 2.0: 1.0}[epsilon]


def test_a_defended_row_is_the_row_of_the_students_of_its_clips():
    rows, _ = drawn(12)
    spec = MadSpec(epsilon=0.7, variant="extreme", spread=2.0)
    told = defend(rows.astype(np.float32), clips_for(rows), (spec,), ASKED)
    student = says(ASKED.context("0:mad", clip_digests(clips_for(rows))), 12, 2.0)
    expected = towards(rows, best_label(rows, student), 0.7)
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_a_sure_model_turns_a_student_more_than_by_chance():
    """Moving to a random label turns gradients less, on average, than moving to the best one."""
    rows, student = drawn(50)
    guess = np.eye(50)[np.random.default_rng(0).integers(50, size=len(rows))]
    guessed = turn(student, rows, towards(rows, guess, 1.0)).mean()
    assert turn(student, rows, towards(rows, best_label(rows, student), 1.0)).mean() > guessed


@pytest.mark.parametrize("spread", [0.01, 10.0])
def test_students_say_probabilities_of_the_given_spread(spread):
    context = ASKED.context("0:mad", clip_digests(np.zeros((1, 4), dtype=np.float32)))
    said = says(context, 1251, spread)
    assert said.sum() == pytest.approx(1)
    logits = np.log(said)
    assert logits.std() == pytest.approx(spread, rel=0.1)
