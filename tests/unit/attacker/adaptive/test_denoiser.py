"""The network that turns a known defence back."""

import numpy as np
import pytest
import torch

from attacker.adaptive import AdaptionContext
from attacker.adaptive.denoiser import DenoiserSpec, DenoisingNetwork
from attacker.adaptive.dirichlet import draw_rows
from attacker.known_defences import KnownDefence
from attacker.known_defences.reverse_sigmoid import KnownReverseSigmoid
from attacker.known_defences.temperature import KnownTemperature

SPEC = DenoiserSpec(rows=30_000, hidden=64)


def clean_rows(classes: int, count: int = 300) -> np.ndarray:
    return draw_rows(count, classes, (0.5, 10.0), np.random.default_rng(9))


def denoised(clean: np.ndarray, known: KnownDefence, seed: int = 0) -> np.ndarray:
    shown = known.defend(clean).astype(np.float32)
    return SPEC.build(AdaptionContext(seed, known_defence=known)).adapt(shown)


@pytest.mark.parametrize(
    ("known", "classes"),
    [
        (KnownTemperature(temperature=2), 3),
        (KnownTemperature(temperature=2), 60),
        (KnownReverseSigmoid(beta=0.2, gamma=0.2), 10),
    ],
    ids=["temperature", "temperature of many", "reverse_sigmoid"],
)
def test_what_is_guessed_is_nearer_to_the_model_than_what_was_shown(
    known: KnownDefence, classes: int
) -> None:
    clean = clean_rows(classes)
    errors = [
        np.abs(rows - clean).sum(axis=1).mean()
        for rows in (known.defend(clean), denoised(clean, known))
    ]
    assert errors[0] > 0.2
    assert errors[1] < 0.5 * errors[0]


def test_seeds_learn_apart_and_leave_the_global_stream_alone() -> None:
    clean, known = clean_rows(3, 20), KnownTemperature(temperature=2)
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    one = denoised(clean, known, 1)
    assert torch.equal(torch.rand(1), before)
    assert np.array_equal(one, denoised(clean, known, 1))
    assert not np.array_equal(one, denoised(clean, known, 2))


def test_labels_are_alike_and_equal_answers_are_told_alike() -> None:
    known, clean = KnownTemperature(temperature=2), clean_rows(5, 20)
    order = np.array([3, 0, 4, 1, 2])
    assert denoised(clean[:, order], known) == pytest.approx(
        denoised(clean, known)[:, order], abs=1e-6
    )
    (twins,) = denoised(np.array([[0.6, 0.1, 0.1, 0.1, 0.1]]), known)
    assert len(set(twins[1:].tolist())) == 1


def test_a_network_begins_with_what_was_shown() -> None:
    rows = torch.tensor([[0.7, 0.2, 0.1]])
    assert torch.allclose(DenoisingNetwork(3, 8)(rows).softmax(dim=1), rows)
