import base64
import io
from pathlib import Path

import numpy as np
import soundfile

from attacker.lab.report.sounds import collect_sounds, make_sound, spectrogram_png
from tests.support.lab_world import NAMES, RATE_HZ, answers, bundle, campaign, run


def test_a_slow_clip_becomes_playable_at_its_own_length() -> None:
    wave = np.sin(np.arange(4096) * 0.3).astype(np.float32)
    sound = make_sound(wave, RATE_HZ, "real", 0.9, None)
    data = base64.b64decode(sound.audio.removeprefix("data:audio/wav;base64,"))
    samples, rate_hz = soundfile.read(io.BytesIO(data))
    assert rate_hz == 8000
    assert len(samples) / rate_hz == len(wave) / RATE_HZ
    fast = make_sound(wave, 16_000, "real", 0.9, None)
    data = base64.b64decode(fast.audio.removeprefix("data:audio/wav;base64,"))
    samples, rate_hz = soundfile.read(io.BytesIO(data))
    assert rate_hz == 16_000
    assert np.allclose(samples, wave, atol=1e-3)


def test_pictures_are_made_of_silence_and_of_short_clips_too() -> None:
    for wave in (np.zeros(4096), np.zeros(16), np.ones(300)):
        assert spectrogram_png(wave.astype(np.float32)).startswith(b"\x89PNG")


def test_rows_are_speakers_and_columns_origins(tmp_path: Path) -> None:
    ruler = bundle()
    victim = answers(ruler.labels, 6, 0.95, seed=1)
    record = run(tmp_path, campaign(), campaign("wavegan", source="wavegan"))
    table = collect_sounds(record, ruler, victim)
    assert [row.speaker for row in table.rows] == list(NAMES[:3])
    assert len(table.columns) == 3
    for row in table.rows:
        assert [sound.origin for sound in row.sounds if sound] == ["real", "proxy", "wavegan"]


def test_synthetic_clips_are_shown_wherever_their_campaign_stands(tmp_path: Path) -> None:
    ruler = bundle()
    victim = answers(ruler.labels, 6, 0.95, seed=1)
    others = [campaign(f"noise-{n}", source="gaussian_noise") for n in range(3)]
    record = run(tmp_path, *others, campaign("gan", source="wavegan"), campaign())
    table = collect_sounds(record, ruler, victim)
    assert table.columns[1:] == ("gan: sent from wavegan", "proxy-only: sent from proxy")
    only = collect_sounds(run(tmp_path, *others), ruler, victim)
    assert only.columns[1:] == tuple(f"noise-{n}: sent from gaussian_noise" for n in range(2))


def test_the_clip_shown_is_a_kept_one_of_that_label_with_the_highest_confidence(
    tmp_path: Path,
) -> None:
    record = campaign()
    asked: list[int] = []

    def remake(positions: object) -> np.ndarray:
        asked.extend(positions)  # type: ignore[call-overload]
        return np.zeros((len(asked), 1024), np.float32)

    ruler = bundle()
    victim = answers(ruler.labels, 6, 0.95, seed=1)
    collect_sounds(run(tmp_path, campaign(remake=remake)), ruler, victim)
    assert [int(record.labels[position]) for position in asked] == [0, 1, 2]
    for label, position in enumerate(asked):
        mine = record.kept & (record.labels == label)
        assert record.kept[position]
        assert record.confidence[position] == record.confidence[mine].max()


def test_a_speaker_whom_nobody_imitated_has_an_empty_cell(tmp_path: Path) -> None:
    ruler = bundle()
    victim = answers(ruler.labels, 6, 0.95, seed=1)
    table = collect_sounds(run(tmp_path, campaign()), ruler, victim, speakers=6)
    assert table.rows[-1].speaker == "fay"
    assert table.rows[-1].sounds[1] is None
    assert table.rows[-1].sounds[0] is not None
