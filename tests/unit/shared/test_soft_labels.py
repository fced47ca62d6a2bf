import pytest
import torch
import torch.nn.functional as F

from shared.soft_labels import classification_loss, soften

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])


def logits() -> torch.Tensor:
    return torch.tensor([[1.0, -0.5, 0.3], [0.1, 0.2, -2.0]], requires_grad=True)


def test_softening_takes_roots_and_keeps_zeros_and_order() -> None:
    softened = soften(PROBABILITIES, 2.0)
    assert softened.sum(1) == pytest.approx([1.0, 1.0])
    roots = PROBABILITIES[0].sqrt()
    torch.testing.assert_close(softened[0], roots / roots.sum())
    assert softened[1].tolist() == pytest.approx([0, 0.5, 0.5])
    assert softened[0, 0] < 0.7
    torch.testing.assert_close(soften(PROBABILITIES, 1.0), PROBABILITIES)


def test_softened_probabilities_are_those_of_softened_logits() -> None:
    """What the API would have said, had its logits been divided by T."""
    victim = torch.tensor([[3.0, 1.0, -2.0]])
    torch.testing.assert_close(soften(victim.softmax(1), 4.0), (victim / 4).softmax(1))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_temperature_one_is_plain_cross_entropy(reduction: str) -> None:
    loss = classification_loss(logits(), PROBABILITIES, 1.0, reduction)  # type: ignore[arg-type]
    assert torch.equal(loss, F.cross_entropy(logits(), PROBABILITIES, reduction=reduction))


def test_the_gradient_is_t_times_the_difference_of_softened_answers() -> None:
    z, temperature = logits(), 3.0
    classification_loss(z, PROBABILITIES, temperature, "sum").backward()
    wanted = temperature * ((z / temperature).softmax(1) - soften(PROBABILITIES, temperature))
    torch.testing.assert_close(z.grad, wanted.detach())


def test_high_temperatures_match_logits() -> None:
    """The published limit: the gradient becomes that of half the squared distance, over K."""
    z, victim = logits(), torch.tensor([[2.0, -1.0, -1.0], [0.5, 0.5, -1.0]])
    classification_loss(z, victim.softmax(1), 1000.0, "sum").backward()
    centred = z.detach() - z.detach().mean(1, keepdim=True)
    torch.testing.assert_close(z.grad, (centred - victim) / 3, atol=2e-3, rtol=0)


def test_labels_have_no_temperature() -> None:
    labels = torch.tensor([0, 2])
    assert torch.equal(
        classification_loss(logits(), labels, 5.0), F.cross_entropy(logits(), labels)
    )


def test_the_loss_of_half_precision_logits_is_taken_in_full() -> None:
    assert classification_loss(logits().bfloat16(), PROBABILITIES, 2.0).dtype == torch.float32
