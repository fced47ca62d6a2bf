import pytest

from attacker.lab.filters import words
from attacker.lab.filters.match import Pair, SetAside
from attacker.lab.filters.maximise import MaximiseSettings
from attacker.lab.filters.results import FilterResults, LayerResult, ModelFacts, SideResult


def facts(name: str, checkpoint: str = "c") -> ModelFacts:
    return ModelFacts(
        name=name,
        folder=f"runs/{name}",
        kind="victim",
        checkpoint=checkpoint,
        labels=3,
        sample_rate_hz=4000,
        clip_samples=4096,
    )


def side(width_hz: float | None = 100.0, low: int = 1, silent: int = 0) -> SideResult:
    reasons = ["low"] * low + ["silent"] * silent
    aside = tuple(
        SetAside.model_validate({"filter": n, "reason": reason, "low_share": 0.9})
        for n, reason in enumerate(reasons)
    )
    return SideResult(filters=6, of=8, set_aside=aside, bandwidth_hz=width_hz)


def layer(name: str, width_hz: float = 100.0, same: int = 0, pairs: int = 5) -> LayerResult:
    return LayerResult(
        layer=name,
        a=side(width_hz),
        b=side(width_hz),
        pairs=tuple(Pair(a=n, b=n, distance=0.01, mutual=True) for n in range(pairs)),
        median_distance=0.01 if pairs else None,
        typical_distance=0.5 if pairs else None,
        same_number=same,
    )


def results(
    *layers: LayerResult, b: ModelFacts | None = None, alone: bool = False
) -> FilterResults:
    return FilterResults(
        command="",
        seed=0,
        settings=MaximiseSettings(),
        lowest_band_hz=91.0,
        a=facts("one", "x"),
        b=None if alone else b or facts("two", "y"),
        layers=layers,
    )


def test_each_layer_has_a_sentence_with_its_figures() -> None:
    (text,) = words.findings(results(layer("conv1")))
    assert text.startswith("conv1: 5 of 6\N{NO-BREAK SPACE}filters take part")
    assert "0.010" in text
    assert "0.500" in text
    assert "themselves" not in text
    (text,) = words.findings(results(layer("conv1", pairs=0)))
    assert "nothing to match" in text
    alone = LayerResult(layer="conv1", a=side())
    (text,) = words.findings(results(alone, alone=True))
    assert "partner" not in text


def test_a_model_matched_with_itself_says_how_many_found_themselves() -> None:
    found = results(layer("conv1", same=4), b=facts("one", "x"))
    assert found.is_of_itself
    assert "80.0" in words.findings(found)[0]
    assert words.warning(found) is None


def test_two_models_that_began_alike_are_warned_of() -> None:
    alike = words.warning(results(layer("conv1", same=3), layer("conv4", same=1)))
    assert alike is not None
    assert "In conv1 most" in alike
    assert alike.endswith("another seed.")
    assert words.warning(results(layer("conv1", same=2))) is None
    assert words.warning(results(layer("conv1", same=3, pairs=3))) is None


def test_the_widths_of_the_two_layers_of_figure_two_are_compared() -> None:
    text = words.widths(results(layer("conv1", 90.0), layer("conv4", 900.0)))
    assert text is not None
    assert "one 90\N{NO-BREAK SPACE}Hz and 900\N{NO-BREAK SPACE}Hz (wider)" in text
    text = words.widths(results(layer("conv1", 900.0), layer("conv4", 90.0)))
    assert text is not None
    assert "(not wider)" in text
    assert words.widths(results(layer("conv1"), layer("head"))) is None
    empty = LayerResult(layer="conv4", a=side(None))
    assert words.widths(results(LayerResult(layer="conv1", a=side()), empty, alone=True)) is None


@pytest.mark.parametrize(
    ("low", "silent", "text"),
    [(0, 0, "none"), (2, 0, "2 very low"), (0, 1, "1 silent"), (2, 1, "2 very low and 1 silent")],
)
def test_what_is_set_aside_is_counted_by_reason(low: int, silent: int, text: str) -> None:
    assert words.aside(side(low=low, silent=silent).set_aside) == f"{text} set aside"


def test_a_note_tells_of_filters_that_were_not_asked_for() -> None:
    assert words.layer_note(layer("conv1")).startswith("A: the first 6 of 8 filters, 1 very low")
    alone = LayerResult(layer="conv1", a=side())
    assert words.layer_note(alone) == "The first 6 of 8 filters, 1 very low set aside."


def test_models_have_letters_where_there_are_two() -> None:
    assert words.names(["same"]) == ("same",)
    assert words.names(["same", "same"]) == ("A same", "B same")
