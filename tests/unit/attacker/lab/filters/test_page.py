"""The page: complete, self-contained, escaped, and there for one model and for nothing to show."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import soundfile

from attacker.lab.filters.match import Side
from attacker.lab.filters.maximise import MaximiseSettings
from attacker.lab.filters.page import SHOWN, choose_shown, played
from attacker.lab.filters.results import LayerResult, SideResult
from attacker.lab.filters.signals import LayerSignals
from attacker.lab.filters.study import FilterStudy
from shared.audio import to_int16
from tests.support.filters import RATE_HZ, band_network, random_network, write_model
from tests.support.html_page import Page

HOSTILE = "<script>alert('x')</script>&$x_1$"
QUICK = MaximiseSettings(steps=4, octaves=1)


def words_of(page: Page) -> str:
    return "".join(page.text)


def study(root: Path, *, pair: bool, layers: tuple[str, ...] = ("conv1", "head")) -> Path:
    """Write models and return the page of their study."""
    a = write_model(root / "voices-a", band_network(), labels=["ann", HOSTILE, "cy"])
    b = write_model(root / "voices-b", random_network(seed=1)) if pair else None
    command = "earshot-attacker filters <here>"
    made = FilterStudy(a, b, root / "out", layers, settings=QUICK, command=command)
    return made.carry_out(lambda *_: lambda done: None)[1]


@pytest.fixture(scope="module")
def pair_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("pair"), pair=True)


@pytest.fixture(scope="module")
def single_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("single"), pair=False)


@pytest.mark.parametrize("which", ["pair_page", "single_page"])
def test_it_refers_to_nothing_outside(which: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(which).read_text()
    page = Page(html)
    for name, tag in (("src", "img"), ("src", "audio"), ("href", "a"), ("href", "image")):
        assert all(value.startswith(("data:", "#")) for value in page.values(name, tag))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|@import|url\(\s*['\"]?(?!#|data:)", html)


@pytest.mark.parametrize("which", ["pair_page", "single_page"])
def test_every_link_finds_its_section(which: str, request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(which).read_text())
    links = {value.lstrip("#") for value in page.values("href", "a")}
    assert links == {"conv1", "head", "method", "models", "again"}
    assert links <= set(page.values("id", "section"))


def test_pairs_stand_side_by_side_with_sound_and_pictures(pair_page: Path) -> None:
    page = Page(pair_page.read_text())
    sounds = page.values("src", "audio")
    assert len(sounds) == len(page.values("src", "img"))
    assert 4 < len(sounds) <= 2 * 2 * SHOWN
    assert len(sounds) % 2 == 0
    assert "A voices-a" in words_of(page)
    assert "B voices-b" in words_of(page)
    assert words_of(page).count("conv1:") == 1


def test_one_model_alone_has_pictures_and_no_word_of_pairs(single_page: Path) -> None:
    page = Page(single_page.read_text())
    assert 3 < len(page.values("src", "audio")) <= 2 * SHOWN
    for word in ("distance 0", "Mutual", "partner of", "B voices"):
        assert word not in words_of(page)
    assert "What the filters of voices‑a listen for" in words_of(page)


def test_names_from_a_card_are_escaped(single_page: Path) -> None:
    page = Page(single_page.read_text())
    assert HOSTILE in words_of(page)
    assert "earshot-attacker filters <here>" in words_of(page)


def test_sound_is_playable_and_quiet(pair_page: Path) -> None:
    for uri in Page(pair_page.read_text()).values("src", "audio"):
        data = base64.b64decode(uri.removeprefix("data:audio/wav;base64,"))
        samples, rate_hz = soundfile.read(io.BytesIO(data))
        assert rate_hz == 8000
        assert len(samples) / rate_hz <= 2
        assert 0.05 < np.sqrt(np.mean(samples**2)) < 0.15


def test_what_is_played_is_the_middle_without_its_offset() -> None:
    wave = np.concatenate([np.zeros(4000), 0.5 + 0.1 * np.sin(np.arange(8000)), np.zeros(4000)])
    part = played(wave.astype(np.float32), RATE_HZ)
    assert len(part) == 2 * RATE_HZ
    assert abs(part.mean()) < 1e-4
    assert np.abs(played(np.zeros(100, dtype=np.float32), RATE_HZ)).max() == 0


def test_figures_are_files_of_their_own_in_colours_of_paper(pair_page: Path) -> None:
    files = sorted((pair_page.parent / "figures").iterdir())
    assert [path.name for path in files] == [
        "conv1-1.svg",
        "conv1-2.svg",
        "head-1.svg",
        "head-2.svg",
    ]
    for path in files:
        text = path.read_text()
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
        assert "var(" not in text
        assert "#1c1e22" in text


def test_a_layer_of_which_nothing_is_left_says_so(tmp_path: Path) -> None:
    a = write_model(tmp_path / "a", band_network([20.0, 10.0]))
    settings = MaximiseSettings(steps=20, octaves=2)
    made = FilterStudy(a, a, tmp_path / "out", ("conv1",), settings=settings)
    results, path = made.carry_out(lambda *_: lambda done: None)
    assert results.layers[0].pairs == ()
    text = words_of(Page(path.read_text()))
    assert "there is nothing to match" in text
    assert "No pair is left to show" in text
    assert "2 very low set aside" in text


def side(*tones_hz: float) -> Side:
    time = np.arange(RATE_HZ) / RATE_HZ
    waves = np.stack([0.2 * np.sin(2 * np.pi * hz * time) for hz in tones_hz])
    ones = np.ones(len(waves), dtype=np.float32)
    return Side.of(LayerSignals(to_int16(waves), ones, ones), RATE_HZ)


def test_those_shown_are_spread_evenly_and_not_the_best() -> None:
    one = side(*(100.0 + 50 * n for n in range(20, 0, -1)))
    facts = SideResult.of_side(one, 20)
    shown = [number for number, _ in choose_shown(LayerResult(layer="conv1", a=facts), one)]
    assert len(shown) == SHOWN
    assert (shown[0], shown[-1]) == (19, 0)
    assert set(np.diff(shown)) <= {-2, -3}
