import math

import numpy as np
import pytest

from attacker.wavegan.config import HealthLimits
from attacker.wavegan.health import (
    Finding,
    GanHealthError,
    Monitor,
    require_finite,
    spectral_spread,
)

RATE = 4000
LIMITS = HealthLimits(every=1, clips=8, grace_steps=10, patience=3)


def tones(count: int, spread: float = 1.0, level: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(7)
    pitch_hz = 800 + spread * rng.uniform(-700, 700, size=(count, 1))
    wave = level * np.sin(2 * np.pi * pitch_hz * np.arange(1024) / RATE)
    return (wave + 0.01 * level * rng.standard_normal(wave.shape)).astype(np.float32)


def monitor(**changes: object) -> Monitor:
    return Monitor(LIMITS.model_copy(update=changes), tones(16), RATE)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_speech_like_clips_are_healthy() -> None:
    findings = monitor().check(100, tones(16, level=0.2), 1.0)
    assert [finding.name for finding in findings] == ["loudness", "clipping", "loss", "diversity"]
    assert all(finding.healthy for finding in findings)
    found = by_name(findings)
    assert found["loudness"].value == pytest.approx(2 / 3, rel=1e-2)
    assert found["diversity"].value == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("name", "fake", "loss"),
    [
        ("loudness", tones(16, level=0.001), 1.0),
        ("clipping", np.sign(tones(16)), 1.0),
        ("loss", tones(16), -1e6),
        ("diversity", np.repeat(tones(1), 16, axis=0), 1.0),
    ],
)
def test_each_sickness_is_found_alone_and_stops_the_training(
    name: str, fake: np.ndarray, loss: float
) -> None:
    watch = monitor()
    for step in (20, 21):
        findings = watch.check(step, fake, loss)
        assert [finding.name for finding in findings if not finding.healthy] == [name]
    with pytest.raises(
        GanHealthError, match=rf"step 22: {name} .* for 3 checks.*--fresh"
    ) as caught:
        watch.check(22, fake, loss)
    assert by_name(findings)[name].advice in str(caught.value)


def test_young_generators_are_given_grace() -> None:
    watch = monitor()
    for step in range(10):
        assert not all(f.healthy for f in watch.check(step, 0 * tones(16), 1.0))
    assert not any(watch.streaks.values())


def test_a_recovery_resets_patience() -> None:
    watch = monitor()
    for step in range(20, 40):
        fake = tones(16) if step % 3 == 0 else 0 * tones(16)
        watch.check(step, fake, 1.0)


def test_streaks_survive_a_restart() -> None:
    first = monitor()
    for step in (20, 21):
        first.check(step, 0 * tones(16), 1.0)
    second = Monitor(LIMITS, tones(16), RATE, first.streaks)
    with pytest.raises(GanHealthError, match="for 3 checks in a row"):
        second.check(22, 0 * tones(16), 1.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(loss: float) -> None:
    with pytest.raises(GanHealthError, match=r"not finite.*lower gan\.learning_rate"):
        monitor().check(0, tones(16), loss)
    with pytest.raises(GanHealthError, match="step 4"):
        require_finite(4, 1.0, loss)


def test_loudness_alone_is_no_diversity() -> None:
    base = np.repeat(tones(1), 16, axis=0)
    levels = base * np.linspace(0.5, 3, 16, dtype=np.float32)[:, None]
    assert spectral_spread(levels, RATE) < 0.1 * spectral_spread(tones(16), RATE)
    assert spectral_spread(tones(16, spread=0.1), RATE) < spectral_spread(tones(16), RATE)


def test_spread_of_a_single_clip_is_zero() -> None:
    assert spectral_spread(tones(1), RATE) == 0.0
