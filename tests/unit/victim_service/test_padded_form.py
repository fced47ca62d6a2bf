"""The GPU's form of a network, on the CPU: everything but pinned memory and streams."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from shared.networks import KnaggCNNSpec
from victim_service.padded_form import PaddedForm, shapes_up_to

SAMPLES = 16
CPU = torch.device("cpu")


class Seen(nn.Module):
    """A network of two classes that remembers the shapes it was given."""

    def __init__(self, pause_s: float = 0.0) -> None:
        super().__init__()
        self.shapes: list[int] = []
        self.padding: list[float] = []
        self.pause_s = pause_s

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.shapes.append(len(clips))
        self.padding.append(float(clips[-1].abs().max()))
        time.sleep(self.pause_s)
        return torch.stack([clips[:, 0], clips[:, 1]], dim=1)


def clips_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, (count, SAMPLES)).astype(np.float32)


def softmax(clips: np.ndarray) -> np.ndarray:
    powers = np.exp(clips[:, :2])
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_network_of_speakers_has_its_embeddings_beside_the_answers():
    network = KnaggCNNSpec(filters=4, embedding=6).build(3).eval()
    clips = np.random.default_rng(0).uniform(-1, 1, (5, 256)).astype(np.float32)
    with torch.inference_mode():
        wave = torch.from_numpy(clips)
        expected = torch.cat((network(wave).softmax(dim=1), network.embed(wave)), dim=1)
    form = PaddedForm(network, CPU, 256, (1, 8))
    rows = form(clips)
    assert rows.shape == (5, 3 + 6)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("most", "shapes"),
    [
        (1, (1,)),
        (4, (1, 4)),
        (8, (1, 8)),
        (100, (1, 8, 32, 100)),
        (512, (1, 8, 32, 128, 512)),
    ],
)
def test_shapes_end_at_the_largest_batch(most, shapes):
    assert shapes_up_to(most) == shapes


def test_the_network_meets_its_warmed_shapes_only_and_padding_is_silence():
    network = Seen()
    form = PaddedForm(network, CPU, SAMPLES, (1, 4, 8))
    form.warm_up()
    assert network.shapes == [1, 4, 8]
    for count in (8, 3, 1, 2, 5, 4, 8, 20):
        clips = clips_of(count, seed=count)
        np.testing.assert_allclose(form(clips), softmax(clips), atol=1e-6)
    assert network.shapes[3:] == [8, 4, 1, 4, 8, 4, 8, 8, 8, 4]
    padded = [level > 0.0 for level in network.padding[3:]]
    assert padded == [True, False, True, False, False, True, True, True, True, True]


def test_an_answer_is_not_changed_by_the_next_one():
    form = PaddedForm(Seen(), CPU, SAMPLES, (4,))
    first = form(clips_of(3, seed=1))
    kept = first.copy()
    form(clips_of(4, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_calls_in_several_threads_have_lanes_of_their_own():
    form = PaddedForm(Seen(pause_s=0.01), CPU, SAMPLES, (1, 8), lanes=2)
    batches = [clips_of(1 + number % 9, seed=number) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(form, batches))
    for clips, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, softmax(clips), atol=1e-6)


def test_a_lane_comes_back_from_a_call_that_failed():
    class Moody(Seen):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            if len(self.shapes) == 0:
                self.shapes.append(0)
                raise RuntimeError("out of memory")
            return super().forward(clips)

    form = PaddedForm(Moody(), CPU, SAMPLES, (4,))
    with pytest.raises(RuntimeError, match="out of memory"):
        form(clips_of(2))
    assert form(clips_of(2)).shape == (2, 2)


def test_a_compiled_network_answers_as_a_plain_one_and_is_compiled_before_it_is_asked(monkeypatch):
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    # The tracing is the real one; the C++ that a CPU would be given takes a minute to compile.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(SAMPLES, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    clips = clips_of(5)
    with torch.inference_mode():
        expected = network(torch.from_numpy(clips)).softmax(1).numpy()
    form = PaddedForm(network, CPU, SAMPLES, (1, 4, 8), compiled=True, lanes=2)
    form.warm_up()
    assert len(graphs) == 3
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(form, [clips[:count] for count in (5, 1, 3, 4, 5, 2)]))
    for answer in answers:
        np.testing.assert_allclose(answer, expected[: len(answer)], atol=1e-6)
    assert len(graphs) == 3
