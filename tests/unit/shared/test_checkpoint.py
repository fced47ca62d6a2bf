from pathlib import Path

import pytest
import torch

from shared import checkpoint
from shared.checkpoint import CheckpointError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path, {"w": torch.arange(12.0).reshape(3, 4)}, {"kind": "test", "å": 1.5})
    return tmp_path


def test_round_trip(saved: Path) -> None:
    tensors, card = checkpoint.load(saved)
    torch.testing.assert_close(tensors["w"], torch.arange(12.0).reshape(3, 4))
    assert (card["kind"], card["å"]) == ("test", 1.5)
    assert card["tensors_sha256"] == checkpoint.file_sha256(saved / "model.safetensors")


def test_the_id_depends_on_the_tensors_only(tmp_path: Path) -> None:
    weights = {"w": torch.ones(3)}
    first = checkpoint.save(tmp_path / "a", weights, {"x": 1})
    assert checkpoint.save(tmp_path / "b", weights, {"x": 2}) == first
    assert checkpoint.save(tmp_path / "c", {"w": torch.zeros(3)}, {"x": 1}) != first


def test_non_contiguous_tensors_survive(tmp_path: Path) -> None:
    weights = torch.randn(2, 3, 1, 5).to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path, {"w": weights}, {})
    torch.testing.assert_close(checkpoint.load(tmp_path)[0]["w"], weights)


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_any_changed_byte_is_refused(saved: Path, name: str) -> None:
    original = (saved / name).read_bytes()
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 1
        (saved / name).write_bytes(changed)
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)
    (saved / name).write_bytes(original)
    checkpoint.load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_missing_and_truncated_files(saved: Path, name: str) -> None:
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError):
        checkpoint.load(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(saved)


def test_a_failed_write_leaves_the_old_checkpoint(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(saved, {"w": torch.zeros(1)}, {})
    assert checkpoint.load(saved)[1]["kind"] == "test"
