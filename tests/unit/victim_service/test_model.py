import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from shared import checkpoint
from shared.checkpoint import CheckpointError
from shared.networks import KnaggCNNSpec
from shared.runtime import available_processors
from tests.support.victims import make_clips, make_victim
from victim_service.cpu_form import fold_batch_norms, pool_before_rectifying
from victim_service.model import Predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_victim(tmp_path_factory.mktemp("victim"))


@pytest.fixture(scope="module")
def predictor(folder):
    return Predictor(folder, device="cpu")


def plain_answers(folder, clips):
    tensors, card = checkpoint.load(folder)
    network = KnaggCNNSpec(**card["network"]).build(len(card["labels"]))
    network.load_state_dict(tensors)
    network.eval()
    with torch.inference_mode():
        wave = torch.from_numpy(clips)
        return torch.cat((network(wave).softmax(dim=1), network.embed(wave)), dim=1).numpy()


def test_the_card_tells_what_to_send(predictor):
    card = predictor.card
    assert (len(card.labels), card.sample_rate_hz, card.clip_samples) == (5, 4000, 1024)
    assert len(card.checkpoint_id) == 64


def test_answers_are_probabilities_of_more_than_one_speaker(predictor):
    rows = predictor.predict(make_clips(64))
    assert rows.shape == (64, 5 + 16)
    answers = rows[:, :5]
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert len(set(answers.argmax(axis=1))) >= 3


def test_the_fast_form_answers_as_the_plain_network(folder, predictor):
    clips = make_clips(64, seed=3)
    np.testing.assert_allclose(predictor.predict(clips), plain_answers(folder, clips), atol=1e-5)


def test_folding_leaves_no_batch_norm_and_changes_the_weights():
    network = KnaggCNNSpec(filters=4, embedding=8).build(3)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                layer.weight.normal_()
                layer.bias.normal_()
    network.eval()
    clips = torch.from_numpy(make_clips(8))
    with torch.no_grad():
        before = network(clips)
        fold_batch_norms(network)
        torch.testing.assert_close(network(clips), before, atol=1e-5, rtol=1e-4)
    assert not [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]


def test_pooling_before_rectifying_changes_nothing():
    network = KnaggCNNSpec(filters=4, embedding=8).build(3).eval()
    clips = torch.from_numpy(make_clips(8))
    with torch.no_grad():
        before = network(clips)
        pool_before_rectifying(network)
        assert torch.equal(network(clips), before)
    first = [type(layer).__name__ for layer in network.conv1]
    assert first == ["_Same", "Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]


def test_a_clip_is_answered_alike_alone_and_in_any_batch(predictor):
    clips = make_clips(40, seed=5)
    together = predictor.predict(clips)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(predictor.predict(clips[order]), together[order], atol=1e-6)
    for size in (1, 3, 16):
        np.testing.assert_allclose(predictor.predict(clips[:size]), together[:size], atol=1e-6)


def test_embeddings_beside_the_answers_are_the_same_bits_alone_and_in_any_batch(predictor):
    clips = make_clips(33, seed=6)
    together = predictor.predict(clips)
    alone = np.concatenate([predictor.predict(clips[place : place + 1]) for place in range(33)])
    np.testing.assert_array_equal(alone, together)
    assert np.ptp(together[:, 5:], axis=0).min() > 0


def test_several_threads_may_predict_at_once(predictor):
    clips = make_clips(16)
    expected = predictor.predict(clips)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(predictor.predict(clips))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_a_changed_byte_is_refused(tmp_path):
    folder = make_victim(tmp_path)
    path = folder / checkpoint.TENSORS_NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="sha256"):
        Predictor(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "surrogate"},
        {"labels": []},
        {"labels": ["a", "b"]},
        {"network": {"kind": "unknown"}},
        {"network": {"kind": "knagg_cnn", "filters": 4}},
    ],
)
def test_a_checkpoint_that_is_no_victim_is_refused_with_advice(tmp_path, change):
    tensors, card = checkpoint.load(make_victim(tmp_path / "good"))
    checkpoint.save(tmp_path / "bad", tensors, {**card, **change})
    with pytest.raises(CheckpointError, match=r"earshot-victim train|Train the victim again"):
        Predictor(tmp_path / "bad")


def test_batches_and_threads_suit_the_device(folder):
    given = Predictor(folder, device="cpu", workers=3, batch_clips=7)
    assert (given.workers, given.batch_clips) == (3, 7)
    chosen = Predictor(folder, device="cpu")
    assert (chosen.workers, chosen.batch_clips) == (available_processors(), 32)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_that_the_device_has_not_is_refused(folder, precision):
    with pytest.raises(ValueError, match="needs a GPU"):
        Predictor(folder, device="cpu", precision=precision)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("tf32", 1e-2), ("bf16", 1e-1)]
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_answers_as_the_cpu(folder, predictor, precision, tolerance, compiled):
    on_gpu = Predictor(
        folder, device="cuda", batch_clips=32, precision=precision, compiled=compiled
    )
    on_gpu.warm_up()
    for count in (1, 5, 32, 64):
        clips = make_clips(count, seed=count)
        expected = predictor.predict(clips)
        np.testing.assert_allclose(on_gpu.predict(clips), expected, atol=tolerance)


@pytest.mark.gpu
def test_a_gpu_answers_a_clip_alike_alone_and_in_any_batch(folder):
    on_gpu = Predictor(folder, device="cuda")
    on_gpu.warm_up()
    clips = make_clips(600)
    together = on_gpu.predict(clips)
    for size in (1, 8, 100):
        np.testing.assert_allclose(on_gpu.predict(clips[:size]), together[:size], atol=1e-6)


@pytest.mark.gpu
def test_two_threads_share_a_gpu(folder):
    on_gpu = Predictor(folder, device="cuda", batch_clips=32)
    on_gpu.warm_up()
    batches = [make_clips(1 + number % 32, seed=number) for number in range(100)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(on_gpu.predict, batches))
    for clips, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, on_gpu.predict(clips), atol=1e-6)
