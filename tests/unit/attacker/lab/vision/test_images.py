"""Image folders: what is decoded, what is kept, and one clear line for each that does not serve."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attacker.errors import ExperimentError
from attacker.lab.vision import images
from attacker.lab.vision.images import ImageFolderError, open_images


def plain(
    path: Path, colour: tuple[int, ...], mode: str = "RGB", size: tuple[int, int] = (9, 6)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    plain(root / "cat" / "b.png", (10, 20, 30))
    plain(root / "cat" / "a.JPG", (200, 100, 50))
    plain(root / "ant" / "grey.png", (77,), "L")
    plain(root / "ant" / "clear.png", (1, 2, 3, 0), "RGBA")
    plain(root / "ant" / "long.jpeg", (90, 90, 90), size=(40, 3))
    (root / "ant" / "notes.txt").write_text("no image")
    (root / "ant" / ".hidden.png").write_text("no image")
    (root / ".git").mkdir()
    (root / "README.png").write_text("no class folder")
    return root


def test_every_image_becomes_a_square_of_rgb_bytes(folder: Path, tmp_path: Path) -> None:
    found = open_images(folder, 5, tmp_path)
    assert found.names == ("ant", "cat")
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    assert found.pixels.shape == (5, 5, 5, 3)
    assert found.pixels.dtype == np.uint8
    expected = [(1, 2, 3), (77, 77, 77), (90, 90, 90), (200, 100, 50), (10, 20, 30)]
    for square, colour in zip(found.pixels, expected, strict=True):  # JPEG is not exact
        assert np.abs(square.astype(int) - colour).max() <= 3


def test_progress_is_told_to_its_end(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    open_images(folder, 5, tmp_path, lambda *what: told.append(what))
    assert told[-1] == ("decoding images", 5, 5)


def test_images_are_decoded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_images(folder, 5, tmp_path)
    calls = []
    decode = images._decode_all
    monkeypatch.setattr(images, "_decode_all", lambda *given: calls.append(given) or decode(*given))
    again = open_images(folder, 5, tmp_path)
    assert calls == []
    assert np.array_equal(again.pixels, before.pixels)
    assert again.sha256 == before.sha256
    open_images(folder, 6, tmp_path)  # another side
    assert len(calls) == 1
    os.utime(folder / "cat" / "b.png", ns=(1, 1))  # a changed file
    open_images(folder, 5, tmp_path)
    assert len(calls) == 2
    (cached,) = [
        path for path in tmp_path.glob("images-*") if path.stat().st_mtime_ns == newest(tmp_path)
    ]
    data = bytearray(cached.read_bytes())
    data[-1] ^= 1  # a changed byte of the cache
    cached.write_bytes(data)
    assert open_images(folder, 5, tmp_path).sha256 == before.sha256
    assert len(calls) == 3


def newest(folder: Path) -> int:
    return max(path.stat().st_mtime_ns for path in folder.glob("images-*"))


def test_identity_is_that_of_the_images_and_not_of_their_place(
    folder: Path, tmp_path: Path
) -> None:
    before = open_images(folder, 5, tmp_path)
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_images(moved, 5, tmp_path).sha256 == before.sha256
    plain(moved / "cat" / "b.png", (10, 20, 90))
    assert open_images(moved, 5, tmp_path).sha256 != before.sha256
    (moved / "cat").rename(moved / "cow")
    assert open_images(moved, 5, tmp_path).names == ("ant", "cow")


def test_every_class_is_split_by_its_share(tmp_path: Path) -> None:
    for name, count in (("many", 20), ("few", 3), ("two", 2)):
        for number in range(count):
            plain(tmp_path / "r" / name / f"{number:02}.png", (number, 0, 0))
    found = open_images(tmp_path / "r", 4, tmp_path)
    training, test = found.split(0.25, seed=1)
    assert np.array_equal(np.sort(np.concatenate([training, test])), np.arange(25))
    assert np.bincount(found.labels[test]).tolist() == [1, 5, 1]  # few, many, two
    assert np.array_equal(found.split(0.25, seed=1)[1], test)
    assert not np.array_equal(found.split(0.25, seed=2)[1], test)
    assert np.bincount(found.labels[found.split(0.99, seed=1)[0]]).tolist() == [1, 1, 1]


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"")
    chunks = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, body, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def cut(path: Path) -> bytes:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    return data[: len(data) // 2]


@pytest.mark.parametrize("name", ["text", "empty", "gif", "cut-png", "cut-jpg", "huge", "hollow"])
def test_an_unreadable_image_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    gif = tmp_path / "x.gif"
    plain(gif, (0, 0, 0))
    data = {
        "text": b"no image",
        "empty": b"",
        "gif": gif.read_bytes(),
        "cut-png": cut(tmp_path / "c.png"),
        "cut-jpg": cut(tmp_path / "c.jpg"),
        "huge": claims(9_000, 9_000),
        "hollow": claims(30, 30),
    }[name]
    bad = folder / "cat" / "bad.png"
    bad.write_bytes(data)
    with pytest.raises(ImageFolderError) as caught:
        open_images(folder, 5, tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{bad}: not a readable PNG or JPEG image (")
    assert text.endswith("Replace this file, or take it away.")
    assert "\n" not in text
    assert not list(tmp_path.glob("images-*"))


def test_folders_that_do_not_serve(folder: Path, tmp_path: Path) -> None:
    assert issubclass(ImageFolderError, ExperimentError)
    with pytest.raises(ImageFolderError, match=r"nowhere: no such folder\. Name a folder"):
        open_images(tmp_path / "nowhere", 5, tmp_path)
    (tmp_path / "bare").mkdir()
    with pytest.raises(ImageFolderError, match="bare: no class folder is in it"):
        open_images(tmp_path / "bare", 5, tmp_path)
    (folder / "cat" / "b.png").unlink()
    with pytest.raises(ImageFolderError, match=r"cat: 1 PNG or JPEG images.*needs 2"):
        open_images(folder, 5, tmp_path)
    (folder / "cat").rename(tmp_path / "cat")
    with pytest.raises(ImageFolderError, match=r"the only class is 'ant'.*folder above"):
        open_images(folder, 5, tmp_path)
