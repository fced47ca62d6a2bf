import time
from pathlib import Path

import numpy as np
import pytest
import torch

from attacker.wavegan.generator import LoadedGenerator, load_generator, save_generator
from attacker.wavegan.networks import Generator, initialise
from shared import checkpoint
from shared.checkpoint import CheckpointError
from shared.seeding import torch_stream


def saved(folder: Path, seed: int = 0, dim: int = 4, samples: int = 1024) -> Path:
    network = Generator(dim, 10, samples)
    initialise(network, torch_stream(seed, "weights"))
    with torch.no_grad():
        network.stages[-1].weight.mul_(20)  # untrained generators are too quiet to tell apart
    save_generator(folder, network, {"sample_rate_hz": 4000, "config": {"dim": dim}})
    return folder


@pytest.fixture
def generator(tmp_path: Path) -> LoadedGenerator:
    return load_generator(saved(tmp_path / "gan"))


def test_what_is_loaded_is_what_was_saved(tmp_path: Path, generator: LoadedGenerator) -> None:
    assert generator.hash == checkpoint.file_sha256(tmp_path / "gan" / "model.safetensors")
    assert (generator.sample_rate_hz, generator.samples) == (4000, 1024)
    assert generator.card["kind"] == "wavegan_generator"


def test_clips_are_audio_on_the_16_bit_grid(generator: LoadedGenerator) -> None:
    clips = generator.render(1, np.arange(40))
    assert clips.shape == (40, 1024)
    assert clips.dtype == np.float32
    assert 0.01 < np.abs(clips).max() <= 1
    assert np.array_equal(clips * 32768, np.rint(clips * 32768))
    assert generator.render(1, np.arange(0)).shape == (0, 1024)


def test_a_clip_does_not_depend_on_its_company(generator: LoadedGenerator) -> None:
    everything = generator.render(3, np.arange(100))
    for indices in ([7], [99, 0, 50], list(range(31, 97)), [5] * 40):
        chosen = np.array(indices)
        assert np.array_equal(generator.render(3, chosen), everything[chosen])


def test_latents_are_uniform_and_named_by_generator_seed_and_index(
    tmp_path: Path, generator: LoadedGenerator
) -> None:
    latents = generator.latents(1, np.arange(500))
    assert latents.shape == (500, 10)
    assert -1 <= latents.min() < -0.99
    assert 0.99 < latents.max() < 1
    assert latents.std() == pytest.approx(3**-0.5, rel=0.03)
    assert len(np.unique(latents[:, 0])) > 490
    assert not np.array_equal(latents, generator.latents(2, np.arange(500)))
    other = load_generator(saved(tmp_path / "other", seed=1))
    assert not np.array_equal(latents, other.latents(1, np.arange(500)))


def test_rendering_matches_the_network(generator: LoadedGenerator) -> None:
    z = torch.from_numpy(generator.latents(4, np.array([11])))
    with torch.no_grad():
        expected = generator.network(z).numpy()
    np.testing.assert_allclose(generator.render(4, np.array([11])), expected, atol=1.1 / 32767)


def test_loading_twice_gives_the_same_bytes(tmp_path: Path, generator: LoadedGenerator) -> None:
    again = load_generator(tmp_path / "gan")
    assert again.render(9, np.arange(5)).tobytes() == generator.render(9, np.arange(5)).tobytes()


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "gan") / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="altered"):
        load_generator(tmp_path / "gan")


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"w": torch.zeros(2)}, {"kind": "victim"})
    with pytest.raises(CheckpointError, match=r"not a WaveGAN generator.*train-gan"):
        load_generator(tmp_path)


def test_desk_size_is_fast(tmp_path: Path) -> None:
    generator = load_generator(saved(tmp_path, dim=16, samples=4096))
    generator.render(0, np.arange(64))
    start = time.process_time()
    generator.render(0, np.arange(512))
    # About 1,800 clips a processor second alone; the limit leaves room for a busy machine.
    assert 512 / (time.process_time() - start) > 300
