import torch
from torch import nn

from shared.weight_average import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_it_starts_as_the_weights_and_follows_them_slowly() -> None:
    model = network()
    average = WeightAverage(model, decay=0.9)
    start = model[0].weight.detach().clone()  # type: ignore[union-attr]
    with torch.no_grad():
        model[0].weight.add_(1.0)  # type: ignore[union-attr, operator]
    average.update(model, step=10_000)
    torch.testing.assert_close(average.weights["0.weight"], start + 0.1)
    average.update(model, step=10_001)
    torch.testing.assert_close(average.weights["0.weight"], start + 0.19)


def test_early_steps_are_soon_forgotten() -> None:
    model = network()
    average = WeightAverage(model, decay=0.999)
    start = model[0].bias.detach().clone()  # type: ignore[union-attr]
    with torch.no_grad():
        model[0].bias.add_(1.0)  # type: ignore[union-attr, operator]
    average.update(model, step=0)
    torch.testing.assert_close(average.weights["0.bias"], start + 0.9)


def test_statistics_are_averaged_and_counters_taken_over() -> None:
    model = network()
    average = WeightAverage(model, decay=0.5)
    model(torch.randn(8, 3))
    mean = model.state_dict()["1.running_mean"].clone()
    average.update(model, step=1000)
    torch.testing.assert_close(average.weights["1.running_mean"], mean / 2)
    assert int(average.weights["1.num_batches_tracked"]) == 1


def test_it_is_lent_for_a_block_and_given_back_whatever_happens() -> None:
    model = network()
    average = WeightAverage(model, decay=0.9)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    average.weights["0.bias"].fill_(7)
    try:
        with average.lent_to(model):
            assert model.state_dict()["0.bias"].tolist() == [7, 7]
            raise KeyError
    except KeyError:
        pass
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name])
