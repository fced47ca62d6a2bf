import hashlib
import json

import numpy as np
from safetensors.numpy import load_file

from shared.checkpoint import load_card
from tests.support.victims import make_victim


def test_a_bundle_holds_clips_labels_and_what_they_are(tmp_path):
    folder = make_victim(tmp_path, n_speakers=3)
    clips = folder / "bundle" / "clips.safetensors"
    description = json.loads((folder / "bundle" / "bundle.json").read_text())
    arrays = load_file(clips)
    assert arrays["clips"].dtype == np.int16
    assert arrays["clips"].shape == (12, description["clip_samples"])
    assert arrays["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert description["clips_sha256"] == hashlib.sha256(clips.read_bytes()).hexdigest()
    assert description["checkpoint"] == load_card(folder)["tensors_sha256"]
    assert len(description["manifest"]) == 12


def test_class_counts_are_apart_from_the_clips(tmp_path):
    folder = make_victim(tmp_path, n_speakers=3)
    counts = json.loads((folder / "class_counts.json").read_text())
    assert counts == {
        "labels": ["speaker-00", "speaker-01", "speaker-02"],
        "counts": [12, 13, 14],
    }
