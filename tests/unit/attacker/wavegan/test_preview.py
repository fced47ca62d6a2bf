from pathlib import Path

import numpy as np
import soundfile
from matplotlib.image import imread

from attacker.wavegan.preview import write_preview


def test_preview_is_a_sheet_and_playable_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (12, 4096)).astype(np.float32)
    sheet = write_preview(tmp_path / "preview", 250, real, 0.1 * real, 4000)
    assert sheet.name == "step-000250.png"
    picture = imread(sheet)
    assert picture.shape[0] > 400
    assert picture.shape[1] > 800
    assert picture[..., :3].std() > 0.1
    names = sorted(path.name for path in sheet.parent.glob("*.wav"))
    kinds = [f"step-000250-{kind}-{index}.wav" for kind in ("fake", "real") for index in range(4)]
    assert names == kinds
    wave, rate = soundfile.read(sheet.parent / "step-000250-fake-2.wav", dtype="float32")
    assert rate == 4000
    np.testing.assert_allclose(wave, 0.1 * real[2], atol=1e-4)
