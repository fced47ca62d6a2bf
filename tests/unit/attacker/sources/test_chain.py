"""A chain of alterations: in their order, each with draws of its own, and of nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from attacker.commands.list_kinds import show_type
from attacker.sources import SOURCES, SourceContext
from attacker.sources.altered import AlterationSpec
from attacker.sources.amplify import AmplifySpec
from attacker.sources.chain import LINKS, ChainSpec
from attacker.sources.filter import FilterSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.proxy import ProxySpec
from attacker.sources.reverb import ReverbSpec
from attacker.sources.speed import SpeedSpec
from attacker.sources.walk import ProxyWalk
from shared.config import ConfigError, Frozen, dump_yaml, validate

Make = Callable[..., SourceContext]
INDICES = np.arange(24)


def chain(*links: AlterationSpec) -> ChainSpec:
    return ChainSpec(links=links)


def test_every_alteration_is_a_link_and_a_source() -> None:
    altering = [kind for kind, spec in SOURCES.items() if issubclass(spec, AlterationSpec)]
    assert list(LINKS) == altering
    assert len(LINKS) == 6


@pytest.mark.parametrize("kind", LINKS)
def test_a_chain_of_one_link_sends_what_that_link_sends(
    kind: str, table: dict[str, Any], context: Make
) -> None:
    alone = table[kind].build(context()).render(INDICES)
    assert np.array_equal(chain(table[kind]).build(context()).render(INDICES), alone)


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_without_effect_leaves_the_others_alone(
    kind: str, table: dict[str, Any], context: Make
) -> None:
    never = table[kind].model_copy(update={"probability": 0.0})
    loud = AmplifySpec(max_gain=3)
    links = (never, loud) if kind != "amplify" else (loud, never)
    made = chain(*links).build(context()).render(INDICES)
    assert np.array_equal(made, loud.build(context()).render(INDICES))


def test_the_gain_of_a_chain_is_that_of_amplify_alone(context: Make) -> None:
    speed, loud = SpeedSpec(), AmplifySpec(max_gain=3)
    indices = np.arange(60)
    gains = [
        np.abs(over.build(context()).render(indices)).max(axis=1)
        / np.abs(under.build(context()).render(indices)).max(axis=1)
        for over, under in ((loud, ProxySpec()), (chain(speed, loud), speed))
    ]
    assert gains[1] == pytest.approx(gains[0], rel=1e-2)
    assert np.ptp(gains[0]) > 1


def test_the_first_link_comes_first(context: Make) -> None:
    hiss = MixNoiseSpec(snr_db=(0, 0), colour="white")
    dull = FilterSpec(high_pass_hz=(1, 1), low_pass_hz=(700, 700), order=8)
    above = []
    for links in ((hiss, dull), (dull, hiss)):
        clips = chain(*links).build(context()).render(INDICES)
        spectra = np.abs(np.fft.rfft(clips)) ** 2
        above.append(spectra[:, 300:].sum() / spectra.sum())  # above 1,170 Hz
    assert above[0] < 0.01
    assert above[1] > 0.1


def test_speeds_multiply_and_the_window_is_long_enough_for_all(context: Make) -> None:
    walk = ProxyWalk(context())
    indices = np.array([q for q in range(70) if walk.clip_of(q) == 5])  # a tone of 550 Hz
    fast = SpeedSpec(factors=(1.5, 1.5))
    clips = chain(fast, ReverbSpec(), fast).build(context()).render(indices)
    spectra = np.abs(np.fft.rfft(clips * np.hanning(1024), 16384))
    tones_hz = spectra.argmax(axis=1) * 4000 / 16384
    assert tones_hz == pytest.approx(550 * 1.5**2, rel=0.01)
    assert (np.square(clips[:, -64:]).mean(axis=1) > 0.01).all()


def test_two_links_of_a_kind_draw_apart(context: Make) -> None:
    quiet = AmplifySpec(max_gain=1.7)  # never clips: the tones reach 0.35
    plain = ProxySpec().build(context()).render(INDICES)

    def gains(*links: AlterationSpec) -> np.ndarray:
        clips = chain(*links).build(context()).render(INDICES)
        share: np.ndarray = np.abs(clips).max(axis=1) / np.abs(plain).max(axis=1)
        return share

    second = gains(quiet, quiet) / gains(quiet)
    assert np.ptp(second) > 0.3
    assert abs(np.corrcoef(second, gains(quiet))[0, 1]) < 0.6


def test_each_link_is_taken_with_a_chance_of_its_own(context: Make) -> None:
    indices = np.arange(200)
    half_loud = AmplifySpec(probability=0.5, max_gain=20)
    half_dull = FilterSpec(probability=0.5)
    plain = ProxySpec().build(context()).render(indices)
    changed = [
        (spec.build(context()).render(indices) != plain).any(axis=1)
        for spec in (half_loud, half_dull, chain(half_loud, half_dull))
    ]
    assert np.array_equal(changed[2], changed[0] | changed[1])
    assert 0.65 < changed[2].mean() < 0.85


def test_what_leaves_the_range_is_clipped_at_every_link(context: Make) -> None:
    loud, quiet = AmplifySpec(max_gain=1000), AmplifySpec(max_gain=1.0)
    clips = chain(loud, quiet, SpeedSpec(), loud).build(context()).render(INDICES)
    assert np.abs(clips).max() == pytest.approx(1, abs=1e-4)


class Holder(Frozen):
    source: ChainSpec


def refusal(links: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        validate({"source": {"kind": "chain", "links": links}}, Holder, origin="file")
    return str(caught.value)


@pytest.mark.parametrize("kind", sorted(set(SOURCES) - set(LINKS)))
def test_what_does_not_alter_a_window_is_refused(kind: str) -> None:
    message = refusal([{"kind": "speed"}, {"kind": kind}])
    assert f"source.links.1: '{kind}' cannot be a link of a chain" in message
    assert "Name one of amplify, pitch_shift, speed, filter, reverb, mix_noise" in message
    assert "source.links.0" not in message


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([], "at least 1 item"),
        ([{"kind": "speed"}] * 9, "at most 8 items"),
        ([{"kind": "vocoder"}], "'vocoder' cannot be a link"),
        ([{"kind": ["speed"]}], "cannot be a link"),
        ([{}], "`kind` is missing"),
        (["speed"], "links.0"),
        ("speed", "links"),
        ([{"kind": "amplify", "gain": 2}], "gain: unknown key"),
        ([{"kind": "amplify", "probability": 2}], "probability"),
        ([{"kind": "speed", "factors": [1.25, 0.8]}], "0.5 <= low <= high <= 2"),
    ],
)
def test_a_wrong_chain_is_explained(links: Any, words: str) -> None:
    assert words in refusal(links)


def test_a_chain_is_written_as_its_links_would_be() -> None:
    written = {"kind": "chain", "links": [{"kind": "speed"}, {"kind": "amplify", "max_gain": 3}]}
    holder = validate({"source": written}, Holder, origin="file")
    assert holder.source == chain(SpeedSpec(), AmplifySpec(max_gain=3))
    assert "    max_gain: 3.0\n" in dump_yaml(holder)


def test_the_listing_names_the_links() -> None:
    shown = show_type(ChainSpec.model_fields["links"])
    assert shown == "list of " + " | ".join(LINKS)
