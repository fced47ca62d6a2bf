import pytest
import torch
from torch import nn

from shared.config import ConfigError, validate
from shared.networks import KnaggCNN, KnaggCNNSpec, copy_first_layers


def small(n_classes: int = 5, **fields: object) -> KnaggCNN:
    torch.manual_seed(0)
    return KnaggCNNSpec(filters=4, embedding=6, **fields).build(n_classes).eval()  # type: ignore[arg-type]


def test_published_parameter_counts() -> None:
    for embedding, expected in ((128, 1_218_019), (64, 1_105_123)):
        network = KnaggCNNSpec(filters=128, embedding=embedding).build(1251)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("samples", [16_384, 16_000, 4_096, 4_000])
def test_same_padding_keeps_lengths(samples: int) -> None:
    network = small()
    lengths = []
    for name in ("conv1", "conv2", "conv3", "conv4"):
        getattr(network, name).register_forward_hook(
            lambda _m, _i, out: lengths.append(out.shape[-1])
        )
    network(torch.zeros(1, samples))
    assert lengths == [samples // 4, samples // 8, samples // 16, samples // 16]


def test_arithmetic_is_that_of_conv1d() -> None:
    network = small()
    for norm in network.modules():  # fresh ones are nearly the identity, and would hide their place
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.running_mean, norm.bias):
                nn.init.normal_(values, 0, 0.5)
            for values in (norm.running_var, norm.weight):
                nn.init.uniform_(values, 0.5, 2)
    clips = torch.randn(3, 512) * 0.1
    x = clips[:, None, :]
    for index, pool in ((1, 4), (2, 2), (3, 2), (4, 1)):
        block = getattr(network, f"conv{index}")
        conv = next(m for m in block if isinstance(m, nn.Conv2d))
        norm = next(m for m in block if isinstance(m, nn.BatchNorm2d))
        x = nn.functional.conv1d(x, conv.weight[:, :, 0], conv.bias, padding="same")
        x = nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False
        )
        x = nn.functional.max_pool1d(x.relu(), pool)
    expected = network.head(network.embedding(x.amax(2)))
    torch.testing.assert_close(network(clips), expected, atol=1e-5, rtol=1e-5)


def test_gain_is_invisible_only_under_rms() -> None:
    clips = torch.randn(2, 512) * 0.05
    rms, plain = small(normalise="rms"), small()
    torch.testing.assert_close(rms(clips), rms(clips * 20), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain(clips), plain(clips * 20), atol=1e-3)
    assert torch.isfinite(rms(torch.zeros(1, 512))).all()


@pytest.mark.parametrize("count", range(7))
def test_first_layers_are_copied_and_no_others(count: int) -> None:
    source, target = small(), KnaggCNNSpec(filters=4, embedding=6).build(5)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with torch.no_grad():
        for value in source.state_dict().values():
            value += 1
    names = copy_first_layers(target, source.state_dict(), count)
    assert names == KnaggCNN.LAYERS[:count]
    for key, value in target.state_dict().items():
        same = key.split(".")[0] in names
        expected = source.state_dict()[key] if same else before[key]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("count", [-1, 7])
def test_layer_count_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 6"):
        copy_first_layers(small(), small().state_dict(), count)


def test_layers_of_another_size_are_refused_and_nothing_is_copied() -> None:
    target, other = small(), KnaggCNNSpec(filters=8, embedding=6).build(5)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(ValueError, match="differ in shape"):
        copy_first_layers(target, other.state_dict(), 2)
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


def test_a_wrong_spec_names_the_valid_kind() -> None:
    with pytest.raises(ConfigError, match="knagg_cnn"):
        validate({"kind": "resnet"}, KnaggCNNSpec, origin="x.yaml")
    with pytest.raises(ConfigError, match="filters"):
        validate({"filters": 0}, KnaggCNNSpec, origin="x.yaml")
