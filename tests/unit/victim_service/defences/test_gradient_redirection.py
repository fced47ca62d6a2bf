"""The greedy rows against a solver of linear programmes, their costs against torch's gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.linear_programme import solved
from tests.support.rows import KINDS, make_row
from victim_service.defences import Asked, clip_digests, defend
from victim_service.defences.gradient_redirection import (
    GradientRedirectionSpec,
    cheapest,
    cheapest_led,
    fixed_costs,
    reverse_costs,
)
from victim_service.defences.last_layer import says

ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


@pytest.mark.parametrize("classes", [2, 3, 6, 40])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("lead", [False, True])
def test_the_greedy_row_is_as_good_as_the_solver(classes, epsilon, lead):
    rng = np.random.default_rng(classes)
    rows = np.stack([make_row(kind, classes, rng) for kind in KINDS for _ in range(3)])
    costs = rng.normal(size=rows.shape)
    top = rows.argmax(axis=1)
    if lead:
        answers = cheapest_led(rows, costs, top, epsilon)
        assert (answers.max(axis=1) - answers[np.arange(len(rows)), top]).max() < 1e-9
    else:
        answers = cheapest(rows, costs, epsilon)
    for row, cost, answer in zip(rows, costs, answers, strict=True):
        assert answer.min() >= 0
        assert answer.sum() == pytest.approx(1, abs=1e-9)
        assert np.abs(answer - row).sum() <= epsilon + 1e-9
        # The solver takes what breaks a bound by 1e-7 for feasible.
        assert float(answer @ cost) == pytest.approx(
            solved(row, cost, epsilon, 0.0 if lead else None), abs=2e-6
        )


@pytest.mark.parametrize("epsilon", [0.1, 0.7, 2.0])
def test_the_budget_is_spent_to_the_last_or_to_the_corner(epsilon):
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(30, 0.2), 50)
    costs = rng.normal(size=rows.shape)
    moved = np.abs(cheapest(rows, costs, epsilon) - rows).sum(axis=1)
    room = 2 * (1 - rows[np.arange(50), costs.argmin(axis=1)])
    np.testing.assert_allclose(moved, np.minimum(room, epsilon), atol=1e-12)


def clips(count: int) -> np.ndarray:
    return np.linspace(-1, 1, count, dtype=np.float32)[:, np.newaxis]


def test_reverse_costs_are_the_slopes_of_the_product_of_two_gradients():
    """By autograd twice: of the loss in the last layer, and of the product in the answer."""
    context = ASKED.context("0:gradient_redirection", clip_digests(clips(1)))
    honest = np.random.default_rng(0).dirichlet(np.ones(6), 1)
    student = torch.from_numpy(says(context, 6, 1.0)[0])
    features = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    # A layer that says what the student does: the logits in one column, by a feature of 1.
    weights = torch.zeros((6, 3), dtype=torch.float64)
    weights[:, 0] = student.log()
    weights.requires_grad_()

    def gradient(answer: torch.Tensor) -> torch.Tensor:
        loss = -(answer * torch.log_softmax(weights @ features, dim=0)).sum()
        found: torch.Tensor = torch.autograd.grad(loss, weights, create_graph=True)[0]
        return found

    answer = torch.from_numpy(honest[0]).requires_grad_()
    product = (gradient(answer) * gradient(torch.from_numpy(honest[0])).detach()).sum()
    (slopes,) = torch.autograd.grad(product, answer)
    expected = slopes.numpy() / float(features @ features)
    found = reverse_costs(honest, context)[0]
    # Rows sum to 1: a constant on all slopes changes nothing.
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-12)


def test_reverse_answers_turn_the_gradient_and_more_so_within_a_larger_budget():
    rows = np.random.default_rng(1).dirichlet(np.full(50, 0.1), 40)
    context = ASKED.context("0:gradient_redirection", clip_digests(clips(40)))
    costs = reverse_costs(rows, context)
    student = says(context, 50, 1.0)
    before = ((student - rows) ** 2).sum(axis=1)
    for epsilon in (0.5, 1.0, 2.0):
        after = ((student - cheapest(rows, costs, epsilon)) * (student - rows)).sum(axis=1)
        assert (after < before).all()
        before = after
    assert np.median(before) < 0


def test_the_fixed_direction_is_that_of_an_account_on_all_its_clips():
    digests = clip_digests(clips(40))
    mine = fixed_costs(60, ASKED.context("0:g", digests))
    other = fixed_costs(60, replace(ASKED, account="bob").context("0:g", digests))
    within = np.corrcoef(mine)[np.triu_indices(40, 1)]
    between = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(mine, other, strict=True)])
    assert within.mean() > 0.5
    assert abs(between.mean()) < 0.35
    assert within.max() < 0.999


@pytest.mark.parametrize("direction", ["reverse", "fixed"])
def test_a_defended_row_is_the_solution_for_its_own_costs(direction):
    rows = np.random.default_rng(2).dirichlet(np.full(12, 0.5), 20).astype(np.float32)
    spec = GradientRedirectionSpec(epsilon=0.6, direction=direction, preserve_argmax=False)
    told = defend(rows, clips(20), (spec,), ASKED)
    context = ASKED.context("0:gradient_redirection", clip_digests(clips(20)))
    wide = rows.astype(np.float64)
    costs = reverse_costs(wide, context) if direction == "reverse" else fixed_costs(12, context)
    np.testing.assert_allclose(told, cheapest(wide, costs, 0.6), atol=1e-6)
