import numpy as np
import pytest
import torch
from pydantic import ValidationError

from attacker.lab.filters import maximise as module
from attacker.lab.filters.maximise import MaximiseSettings, maximise, stretch
from attacker.lab.filters.probe import Probe
from shared.networks import KnaggCNN
from tests.support.filters import RATE_HZ, band_network, random_network

QUICK = MaximiseSettings(steps=8, octaves=2)
NUMBERS = (0, 2, 3)


def noise(rows: int = len(NUMBERS), samples: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, samples)).astype(np.float32)


def test_the_defaults_are_those_of_the_paper() -> None:
    settings = MaximiseSettings()
    assert (settings.steps, settings.octaves, settings.ratio, settings.step_size) == (
        100,
        5,
        1.8,
        1,
    )
    assert settings.lengths(16_384) == (16_384, 29_491, 53_084, 95_551, 171_993)
    assert settings.lengths(4096)[0] == 4096


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"octaves": 0}, {"ratio": 1.0}, {"step_size": 0.0}, {"octave": 2}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MaximiseSettings.model_validate(wrong)


@pytest.mark.parametrize("layer", KnaggCNN.LAYERS)
def test_signals_are_longer_bounded_and_stronger_than_the_noise(layer: str) -> None:
    found = maximise(Probe(random_network(), layer), NUMBERS, noise(), QUICK)
    assert found.signals.shape == (3, round(256 * 1.8))
    assert found.signals.abs().max() <= 1
    assert (found.end > found.start).all()


def test_a_network_that_normalises_is_followed_through_that() -> None:
    """There the level means nothing: only the shape of the signal can grow on a filter."""
    probe = Probe(random_network(normalise="rms"), "conv1")
    settings = MaximiseSettings(steps=30, octaves=1, step_size=0.1)
    found = maximise(probe, NUMBERS, noise(), settings)
    assert (found.end > found.start).all()
    numbers = torch.tensor(NUMBERS)
    assert torch.allclose(probe.activation(found.signals / 2, numbers), found.end, rtol=1e-4)


def test_the_same_noise_gives_the_same_signals_and_other_noise_others() -> None:
    probe = Probe(random_network(), "conv2")
    first, again = (maximise(probe, NUMBERS, noise(), QUICK) for _ in range(2))
    assert torch.equal(first.signals, again.signals)
    other = maximise(probe, NUMBERS, noise(seed=1), QUICK)
    assert not torch.equal(first.signals, other.signals)


def test_parts_of_a_batch_end_as_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(random_network(), "conv3")
    whole = maximise(probe, NUMBERS, noise(), QUICK)
    monkeypatch.setattr(module, "CHUNK_SAMPLES", {"cpu": 300})
    parts = maximise(probe, NUMBERS, noise(), QUICK)
    # A sample whose gradient is nearly zero may go either way by the order of a sum.
    assert (torch.isclose(whole.signals, parts.signals, atol=1e-4)).float().mean() > 0.98
    assert torch.allclose(whole.end, parts.end, rtol=0.02)


def test_one_step_goes_along_the_sign_of_the_gradient() -> None:
    """Adam's first step has its full size in every sample that has a gradient."""
    probe = Probe(random_network(), "conv1")
    start = torch.from_numpy(noise()).requires_grad_()
    numbers = torch.tensor(NUMBERS)
    (gradient,) = torch.autograd.grad(probe.activation(start, numbers).sum(), start)
    settings = MaximiseSettings(steps=1, octaves=1, step_size=0.25)
    moved = maximise(probe, NUMBERS, noise(), settings).signals
    wanted = (start.detach() + 0.25 * gradient.sign()).clamp(-1, 1)
    assert torch.allclose(moved, wanted, atol=1e-3)


def test_a_step_is_as_long_however_faint_the_gradient_of_a_filter_is() -> None:
    """The gradient is normalised, filter by filter: Adam alone stands still below its epsilon."""
    plain, faint = band_network(), band_network()
    norm = faint.conv1[2]
    with torch.no_grad():
        for part in (norm.weight, norm.bias):
            part[0] *= 2**-30  # a power of two: every digit of the gradient is as it was
    settings = MaximiseSettings(steps=3, octaves=1, step_size=0.1)
    one, other = (
        maximise(Probe(network, "conv1"), NUMBERS, noise(), settings) for network in (plain, faint)
    )
    assert torch.allclose(other.end[0] * 2**30, one.end[0], rtol=1e-3)
    assert (other.signals - torch.from_numpy(noise())).abs().max(dim=1).values[0] > 0.1
    assert torch.allclose(other.signals, one.signals, atol=1e-3)


def test_adam_is_given_gradients_of_length_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[torch.Tensor] = []

    class Watched(torch.optim.Adam):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            (leaf,) = self.param_groups[0]["params"]
            lengths.append(leaf.grad.norm(dim=1))
            super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    maximise(Probe(random_network(), "conv2"), NUMBERS, noise(), QUICK)
    assert len(lengths) == QUICK.steps * QUICK.octaves
    assert torch.allclose(torch.stack(lengths), torch.ones(len(lengths), len(NUMBERS)))


def test_a_silent_filter_is_woken() -> None:
    network = band_network([800.0])
    with torch.no_grad():
        network.conv1[1].bias.fill_(
            -3.0
        )  # the noise does not reach that far, a tone at 800 Hz does
    settings = MaximiseSettings(steps=40, octaves=1, step_size=0.1)
    with torch.no_grad():
        network.conv1[1].weight.add_(0.02)  # an offset, which the mean before the ReLU can follow
    found = maximise(Probe(network, "conv1"), [0], 0.05 * noise(1), settings)
    assert found.start[0] == 0
    assert found.end[0] > 0


def test_a_dead_filter_stays_silent_and_breaks_nothing() -> None:
    network = band_network([800.0])
    with torch.no_grad():
        network.conv1[1].bias.fill_(-1000.0)
    found = maximise(Probe(network, "conv1"), [0], noise(1), QUICK)
    assert found.end[0] == 0
    assert torch.isfinite(found.signals).all()


def test_stretching_lowers_a_tone_by_the_ratio() -> None:
    time = np.arange(4096) / RATE_HZ
    tone = torch.from_numpy(np.sin(2 * np.pi * 400 * time).astype(np.float32))[None]
    longer = stretch(tone, round(4096 * 1.8))
    peak = int(torch.fft.rfft(longer[0]).abs().argmax()) * RATE_HZ / longer.shape[1]
    assert peak == pytest.approx(400 / 1.8, abs=1)
    assert stretch(tone, 4096) is tone


def test_progress_grows_to_the_whole() -> None:
    shares: list[float] = []
    maximise(Probe(random_network(), "conv1"), NUMBERS, noise(), QUICK, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == QUICK.steps * QUICK.octaves
