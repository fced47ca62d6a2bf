import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from attacker.errors import EarshotError
from attacker.lab.bundle import BundleError, read_bundle
from shared.checkpoint import file_sha256
from tests.support.lab_world import CHECKPOINT, bundle, write_bundle


def test_it_reads_what_a_training_writes(tmp_path: Path) -> None:
    content = bundle()
    found = read_bundle(write_bundle(tmp_path / "bundle", content))
    assert np.array_equal(found.clips, content.clips)
    assert np.array_equal(found.labels, content.labels)
    assert (found.names, found.class_counts) == (content.names, content.class_counts)
    assert (found.sample_rate_hz, found.checkpoint) == (4000, CHECKPOINT)
    assert found.sha256 == file_sha256(tmp_path / "bundle" / "clips.safetensors")


def test_it_names_the_files_of_its_clips(tmp_path: Path) -> None:
    manifest = [
        {"clip_id": "a", "sha256": "1f"},
        {"clip_id": "b", "sha256": "2e"},
        {"clip_id": "c"},
    ]
    named = write_bundle(tmp_path / "named", bundle(), manifest=manifest)
    assert read_bundle(named).files == {"1f", "2e"}
    assert read_bundle(write_bundle(tmp_path / "silent", bundle())).files == frozenset()


def test_a_missing_folder_says_which_one_to_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere/bundle.json.*Name the `bundle` folder"):
        read_bundle(tmp_path / "nowhere")


def test_missing_clips_are_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", bundle())
    (folder / "clips.safetensors").unlink()
    with pytest.raises(BundleError, match=r"clips.safetensors is missing"):
        read_bundle(folder)


def test_one_changed_byte_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", bundle())
    path = folder / "clips.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="sha256"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"labels": ["ana"]}, "labels"),
        ({"class_counts": [1, 2]}, "class counts"),
        ({"clip_samples": 99}, "clips are int16"),
        ({"checkpoint": None}, "checkpoint"),
        ({"sample_rate_hz": "fast"}, "sample_rate_hz"),
        ({"labels": ["ana", "bo"], "class_counts": [1, 2]}, "outside 0 to 1"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    with pytest.raises(BundleError, match=word):
        read_bundle(write_bundle(tmp_path / "bundle", bundle(), **changes))


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}"])
def test_a_card_that_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_bundle(tmp_path / "bundle", bundle())
    (folder / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(folder)


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", bundle())
    save_file({"clips": np.zeros((4, 1024), np.float32)}, folder / "clips.safetensors")
    card = json.loads((folder / "bundle.json").read_text())
    card["clips_sha256"] = file_sha256(folder / "clips.safetensors")
    (folder / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="lacks `clips` or `labels`"):
        read_bundle(folder)


def test_an_empty_test_split_is_refused(tmp_path: Path) -> None:
    none = dataclasses.replace(
        bundle(), clips=np.zeros((0, 1024), np.int16), labels=np.zeros(0, np.int64)
    )
    with pytest.raises(BundleError, match="labels are"):
        read_bundle(write_bundle(tmp_path / "bundle", none))


def test_the_bundle_of_another_victim_is_refused() -> None:
    content = bundle()
    content.demand_victim(CHECKPOINT, who="the victim")
    with pytest.raises(BundleError, match=r"belongs to the victim c0ffee.* but it is aaaa") as hit:
        content.demand_victim("a" * 64, who="it")
    assert isinstance(hit.value, EarshotError)
    assert str(hit.value).endswith("Name the bundle folder that was written beside that victim.")
