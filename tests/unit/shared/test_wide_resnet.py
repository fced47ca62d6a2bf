import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.config import ConfigError, validate
from shared.networks import (
    IMAGE_NETWORKS,
    NETWORKS,
    WideResNet,
    WideResNetSpec,
    copy_first_layers,
)


def small(n_classes: int = 4, depth: int = 16, **fields: object) -> WideResNet:
    torch.manual_seed(0)
    return WideResNetSpec(depth=depth, width=1, **fields).build(n_classes)  # type: ignore[arg-type]


def count_parameters(depth: int, width: int, n_classes: int) -> int:
    """The count by hand: 3x3 convolutions, 1x1 shortcuts, two figures a channel of each norm."""
    blocks, total, n_in = (depth - 4) // 6, 9 * 3 * 16, 16
    for n_out in (16 * width, 32 * width, 64 * width):
        for _ in range(blocks):
            total += 2 * n_in + 9 * n_in * n_out + 2 * n_out + 9 * n_out * n_out
            total += n_in * n_out if n_in != n_out else 0
            n_in = n_out
    return total + 2 * n_in + n_in * n_classes + n_classes


def test_the_published_size() -> None:
    with torch.device("meta"):
        network = WideResNetSpec().build(10)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == count_parameters(28, 10, 10) == 36_479_194
    assert round(parameters / 1e6, 1) == 36.5


@pytest.mark.parametrize(("depth", "width", "n_classes"), [(10, 1, 4), (16, 2, 3), (22, 1, 100)])
def test_other_sizes_have_the_parameters_that_they_should(
    depth: int, width: int, n_classes: int
) -> None:
    network = WideResNetSpec(depth=depth, width=width).build(n_classes)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == count_parameters(depth, width, n_classes)


@pytest.mark.parametrize("side_px", [32, 16, 20])
def test_groups_two_and_three_halve_the_resolution(side_px: int) -> None:
    network, sizes = small().eval(), {}
    for name in WideResNet.LAYERS:
        getattr(network, name).register_forward_hook(
            lambda _m, _i, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    network(torch.zeros(2, 3, side_px, side_px))
    half, quarter = side_px // 2, side_px // 4
    assert sizes == {
        "conv1": (16, side_px, side_px),
        "group1": (16, side_px, side_px),
        "group2": (32, half, half),
        "group3": (64, quarter, quarter),
        "head": (4,),
    }


def test_layers_are_all_children_in_their_order() -> None:
    assert tuple(name for name, _ in small().named_children()) == WideResNet.LAYERS


def norm(x: torch.Tensor, module: nn.BatchNorm2d) -> torch.Tensor:
    mean, var = module.running_mean, module.running_var
    return F.batch_norm(x, mean, var, module.weight, module.bias, training=False)


def test_arithmetic_is_that_of_pre_activated_blocks() -> None:
    network = small().eval()
    for module in network.modules():  # fresh ones are nearly the identity, and hide their place
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                nn.init.normal_(values, 0, 0.5)  # type: ignore[arg-type]
            for values in (module.running_var, module.weight):
                nn.init.uniform_(values, 0.5, 2)  # type: ignore[arg-type]
    images = torch.rand(3, 3, 8, 8)
    x = F.conv2d(images, network.conv1.weight, padding=1)
    for group, stride in ((network.group1, 1), (network.group2, 2), (network.group3, 2)):
        for index, block in enumerate(group):
            step = stride if index == 0 else 1
            ready = norm(x, block.norm1).relu()
            inner = F.conv2d(ready, block.conv1.weight, stride=step, padding=1)
            inner = F.conv2d(norm(inner, block.norm2).relu(), block.conv2.weight, padding=1)
            plain = block.shortcut is None
            assert plain == (x.shape == inner.shape)
            x = inner + (x if plain else F.conv2d(ready, block.shortcut.weight, stride=step))
    pooled = F.adaptive_avg_pool2d(norm(x, network.head.norm).relu(), 1).flatten(1)
    expected = network.head.linear(pooled)
    torch.testing.assert_close(network(images), expected, atol=1e-4, rtol=1e-4)


def test_dropout_acts_in_training_alone() -> None:
    images = torch.rand(2, 3, 8, 8)
    dropped, whole = small(dropout=0.5), small(dropout=0.0)
    assert not torch.equal(dropped(images), dropped(images))
    assert torch.equal(whole(images), whole(images))
    dropped, whole = small(dropout=0.5).eval(), small(dropout=0.0).eval()
    assert torch.equal(dropped(images), whole(images))


@pytest.mark.parametrize("count", range(6))
def test_first_layers_are_copied_with_their_running_figures(count: int) -> None:
    source, target = small(), small()
    with torch.no_grad():
        for value in source.state_dict().values():
            value += 1
    before = {k: v.clone() for k, v in target.state_dict().items()}
    names = copy_first_layers(target, source.state_dict(), count)
    assert names == WideResNet.LAYERS[:count]
    for key, value in target.state_dict().items():
        expected = source.state_dict() if key.split(".")[0] in names else before
        torch.testing.assert_close(value, expected[key])


def test_another_task_gives_every_layer_but_the_head() -> None:
    source = small(n_classes=7).state_dict()
    assert copy_first_layers(small(), source, 4) == WideResNet.LAYERS[:4]
    with pytest.raises(ValueError, match=r"head\.linear\.weight.*fewer layers"):
        copy_first_layers(small(), source, 5)
    with pytest.raises(ValueError, match="this network has 5"):
        copy_first_layers(small(), source, 6)


@pytest.mark.parametrize("depth", [9, 11, 27, 29, 1001])
def test_a_depth_that_no_whole_blocks_make_is_refused(depth: int) -> None:
    with pytest.raises(ConfigError, match="depth"):
        validate({"depth": depth}, WideResNetSpec, origin="x.yaml")


def test_no_network_is_in_both_tables() -> None:
    assert not NETWORKS.keys() & IMAGE_NETWORKS.keys()
    for kind, spec in IMAGE_NETWORKS.items():
        assert spec.model_fields["kind"].default == kind
