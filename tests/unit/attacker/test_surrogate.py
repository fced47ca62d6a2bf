"""Surrogates: from scratch at each mark, and chosen on held-out clips of what was bought."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from attacker import surrogate
from attacker.errors import ExperimentError, KnowledgeMissing
from attacker.experiment import InitialLayers, SurrogateSpec
from attacker.journal import Rows
from attacker.known_defences.temperature import KnownTemperature
from attacker.sources import Source, SourceContext
from attacker.sources.gaussian_noise import GaussianNoiseSource, GaussianNoiseSpec
from attacker.surrogate import MarkInputs, load_surrogate, make_targets
from attacker.transfer_set import Clips, TransferSet
from shared import checkpoint
from shared.contract import LabelMode, ModelCard
from shared.networks import KnaggCNNSpec
from shared.training import Recipe

RATE_HZ, SAMPLES, K = 4000, 256, 3
SPEC = SurrogateSpec(
    network=KnaggCNNSpec(filters=4, embedding=8),
    recipe=Recipe(epochs=3, batch_size=16, max_shift_samples=8),
    holdout=0.2,
)


def card(label_mode: LabelMode = "soft", top_k: int | None = None) -> ModelCard:
    return ModelCard(
        labels=["a", "b", "c"],
        sample_rate_hz=RATE_HZ,
        clip_samples=SAMPLES,
        label_mode=label_mode,
        top_k=top_k,
        checkpoint="victim",
        max_batch_clips=64,
    )


def noise() -> Source:
    def refuse() -> Any:
        raise AssertionError("noise needs no corpus")

    return GaussianNoiseSpec().build(SourceContext(RATE_HZ, SAMPLES, 0, refuse))


def rows(count: int = 80, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    answers = rng.dirichlet(np.ones(K), count).astype(np.float32)
    return Rows(np.arange(count), answers.argmax(axis=1), rng.random(count) < 0.7, answers)


def inputs(mark: int, bought: Rows | None = None, **changes: Any) -> MarkInputs:
    part = (bought or rows()).first(mark)
    return replace(MarkInputs(mark, part, {"v": 1}, card(), SPEC, seed=3), **changes)


def clips_of(bought: Rows, place: Path | None = None) -> Clips:
    return Clips(noise(), bought.indices[bought.kept], place)


def train(folder: Path, what: MarkInputs) -> dict[str, Any]:
    return surrogate.train(what, clips_of(what.rows), folder)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder)[0]


def equal(one: Path, other: Path) -> bool:
    left, right = tensors(one), tensors(other)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_no_mark_is_warmed_by_another(tmp_path: Path) -> None:
    for mark in (20, 40, 80):
        train(tmp_path / "all" / str(mark), inputs(mark))
    torch.manual_seed(999)  # what ran before in the process must not matter either
    np.random.seed(999)
    train(tmp_path / "alone", inputs(80))
    assert equal(tmp_path / "alone", tmp_path / "all" / "80")
    assert not equal(tmp_path / "all" / "40", tmp_path / "all" / "80")


def test_fresh_weights_differ_by_seed_and_mark_and_leave_the_global_stream_alone() -> None:
    def weights(what: MarkInputs) -> torch.Tensor:
        return next(iter(surrogate.fresh_model(what).state_dict().values()))

    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    one = weights(inputs(40))
    assert torch.equal(torch.rand(1), before)
    assert torch.equal(one, weights(inputs(40)))
    assert not torch.equal(one, weights(inputs(80)))
    assert not torch.equal(one, weights(inputs(40, seed=4)))


def test_a_mark_sees_nothing_that_was_bought_after_it(tmp_path: Path) -> None:
    early = rows()
    later = replace(early, answers=early.answers.copy(), labels=early.labels.copy())
    later.answers[40:] = later.answers[40:][:, ::-1]
    later.labels[40:] = 2 - later.labels[40:]
    train(tmp_path / "a", inputs(40, early))
    train(tmp_path / "b", inputs(40, later))
    assert equal(tmp_path / "a", tmp_path / "b")
    assert inputs(40, early).sha256() == inputs(40, later).sha256()
    assert inputs(80, early).sha256() != inputs(80, later).sha256()


def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(epoch: Any) -> None:
        if epoch.number == 2:
            raise Killed

    what = inputs(80)
    with pytest.raises(Killed):
        surrogate.train(what, clips_of(what.rows), tmp_path / "a", on_epoch=kill)
    assert not surrogate.is_trained(tmp_path / "a", what)
    epochs: list[int] = []
    surrogate.train(
        what, clips_of(what.rows), tmp_path / "a", on_epoch=lambda e: epochs.append(e.number)
    )
    train(tmp_path / "b", what)
    assert epochs == [3]
    assert equal(tmp_path / "a", tmp_path / "b")


def test_finished_marks_are_known_by_their_inputs(tmp_path: Path) -> None:
    what = inputs(40)
    assert not surrogate.is_trained(tmp_path, what)
    train(tmp_path, what)
    assert surrogate.is_trained(tmp_path, inputs(40))
    other_recipe = SPEC.model_copy(update={"recipe": Recipe(epochs=4)})
    for changes in ({"seed": 4}, {"spec": other_recipe}, {"identity": {"v": 2}}):
        assert not surrogate.is_trained(tmp_path, inputs(40, **changes))
    assert not surrogate.is_trained(tmp_path, inputs(80))
    path = tmp_path / checkpoint.TENSORS_NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert not surrogate.is_trained(tmp_path, what)


def test_the_card_says_what_was_paid_and_kept(tmp_path: Path) -> None:
    bought = rows()
    trained = train(tmp_path, inputs(40))
    _, saved = checkpoint.load(tmp_path)
    assert saved["tensors_sha256"] == trained["checkpoint"]
    assert (saved["mark"], saved["queries"]) == (40, 40)
    assert saved["volume"] == bought.kept[:40].sum()
    assert saved["coverage"] == 1.0
    assert saved["training_clips"] + saved["holdout_clips"] == saved["volume"]
    assert saved["holdout_clips"] == round(0.2 * saved["volume"])
    model, _ = load_surrogate(tmp_path)
    assert model(torch.zeros(2, SAMPLES)).shape == (2, K)
    assert not list(tmp_path.rglob("state.safetensors"))


def test_what_is_kept_is_chosen_on_held_out_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on what it was trained on nor on anybody's test split."""
    given: list[Any] = []
    plain = surrogate.fit

    def spy(model: Any, training: Any, validation: Any, *rest: Any, **more: Any) -> Any:
        given.extend([training, validation])
        return plain(model, training, validation, *rest, **more)

    monkeypatch.setattr(surrogate, "fit", spy)
    what = inputs(80)
    train(tmp_path, what)
    kept = what.rows.indices[what.rows.kept]
    held_out, used = surrogate.split_holdout(len(kept), what.spec.holdout, what.seed, what.mark)
    for part, wanted in zip(given, (used, held_out), strict=True):
        sent, _ = part.batch(np.arange(len(part)), None)
        np.testing.assert_array_equal(sent, clips_of(what.rows).fetch(kept[wanted]))


def test_holdout_and_training_share_nothing() -> None:
    held_out, used = surrogate.split_holdout(50, 0.1, seed=0, mark=50)
    assert sorted([*held_out, *used]) == list(range(50))
    assert len(held_out) == 5
    assert len(surrogate.split_holdout(3, 0.1, seed=0, mark=3)[0]) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_transfer_set_makes_the_clips_that_were_sent(kept: bool, tmp_path: Path) -> None:
    bought, place = rows(), tmp_path / "kept" if kept else None
    targets = make_targets(bought.answers[bought.kept], card(), "soft")
    indices = bought.indices[bought.kept]
    transfer = TransferSet(clips_of(bought, place), indices, targets)
    some = np.array([5, 0, len(transfer) - 1])
    clips, got = transfer.batch(some, np.random.default_rng(0))
    assert np.array_equal(clips.numpy(), noise().render(indices[some]))
    assert np.array_equal(got.numpy(), targets[some])
    part = transfer.part(np.array([4, 9]))
    assert np.array_equal(
        part.batch(np.array([1]), None)[0][0].numpy(), noise().render(indices[[9]])[0]
    )


def test_whether_clips_are_kept_or_made_again_changes_no_weight(tmp_path: Path) -> None:
    what = inputs(40)
    train(tmp_path / "a", what)
    surrogate.train(what, clips_of(what.rows, tmp_path / "kept"), tmp_path / "b")
    assert equal(tmp_path / "a", tmp_path / "b")


OPTIONS = {
    "max_gain": 3.0,
    "max_speed": 1.1,
    "temperature": 2.0,
    "balance": 0.7,
    "weight_average": 0.9,
}


def test_options_that_came_later_leave_old_surrogates_their_identity() -> None:
    plain = SurrogateSpec(network=KnaggCNNSpec(filters=4, embedding=8))
    assert plain.model_dump(mode="json")["recipe"] == {
        "epochs": 20,
        "batch_size": 64,
        "learning_rate": 0.001,
        "schedule": "constant",
        "patience": 5,
        "max_shift_samples": 0,
        "weight_decay": 0.0,
    }
    given = SPEC.model_copy(update={"recipe": Recipe.model_validate(OPTIONS)})
    assert given.model_dump(mode="json")["recipe"].items() >= OPTIONS.items()
    assert SurrogateSpec.model_validate(given.model_dump(mode="json")) == given
    for name, value in OPTIONS.items():
        recipe = SPEC.recipe.model_copy(update={name: value})
        changed = inputs(40, spec=SPEC.model_copy(update={"recipe": recipe}))
        assert changed.sha256() != inputs(40).sha256(), name


def test_temperature_needs_probabilities(tmp_path: Path) -> None:
    recipe = {"temperature": 3.0, "epochs": 1}
    with pytest.raises(ValidationError, match=r"temperature is 3, but labels are hard"):
        SurrogateSpec.model_validate({"network": SPEC.network, "recipe": recipe, "labels": "hard"})
    # A victim that sells labels is known only when it is asked: there it has no effect.
    hard = replace(rows(), answers=rows().labels)
    for name, update in (("hot", recipe), ("plain", {"epochs": 1})):
        spec = SPEC.model_copy(update={"recipe": SPEC.recipe.model_copy(update=update)})
        train(tmp_path / name, inputs(40, hard, card=card("hard"), spec=spec))
    assert equal(tmp_path / "hot", tmp_path / "plain")


def adapting(kind: str, **changes: Any) -> SurrogateSpec:
    return SurrogateSpec.model_validate({**SPEC.model_dump(), "answers": {"kind": kind, **changes}})


def test_answers_are_adapted_before_training_and_the_card_says_so(tmp_path: Path) -> None:
    what = inputs(40, spec=adapting("top1"))
    trained = train(tmp_path / "top1", what)
    assert (trained["trained_on"], trained["answers"]) == ("hard", {"kind": "top1"})
    hard = SPEC.model_copy(update={"labels": "hard"})
    assert "answers" not in train(tmp_path / "hard", inputs(40, spec=hard))
    assert equal(tmp_path / "top1", tmp_path / "hard")
    assert what.sha256() != inputs(40, spec=hard).sha256()


def test_a_known_defence_is_part_of_the_identity_of_what_uses_it() -> None:
    known = KnownTemperature(temperature=2)
    spec = adapting("inversion", rows=1000)
    identities = {
        inputs(40, spec=spec, known_defence=known).sha256(),
        inputs(40, spec=spec, known_defence=KnownTemperature(temperature=3)).sha256(),
        inputs(40, spec=spec).sha256(),
    }
    assert len(identities) == 3
    assert inputs(40, known_defence=known).sha256() == inputs(40).sha256()


def test_an_inversion_trains_on_what_it_found() -> None:
    known = KnownTemperature(temperature=2)
    bought = rows()
    shown = replace(bought, answers=known.defend(bought.answers).astype(np.float32))
    spec = adapting("inversion")
    what = inputs(80, shown, spec=spec, known_defence=known)
    targets = surrogate.adapted_targets(what, None)
    clean = bought.answers[bought.kept]
    assert np.abs(targets - clean).mean() < 0.1 * np.abs(shown.answers[bought.kept] - clean).mean()
    hard = replace(what, spec=spec.model_copy(update={"labels": "hard"}))
    assert np.array_equal(surrogate.adapted_targets(hard, None), targets.argmax(axis=1))
    with pytest.raises(KnowledgeMissing):
        surrogate.adapted_targets(replace(what, known_defence=None), None)


def test_copies_are_averaged_among_the_kept_ones_alone() -> None:
    bought, groups = rows(), np.arange(80) // 4
    kept = bought.kept
    targets = surrogate.adapted_targets(inputs(80, bought, spec=adapting("average")), groups[kept])
    mine = (groups == 3) & kept
    assert 1 < mine.sum() < 4
    wanted = bought.answers[mine].mean(axis=0)
    assert targets[groups[kept] == 3] == pytest.approx(np.tile(wanted, (mine.sum(), 1)))


def test_labels_that_were_sold_can_be_voted_on_but_not_averaged() -> None:
    sold = replace(rows(), kept=np.ones(80, dtype=bool), answers=rows().labels)
    groups = np.arange(80) // 5
    what = inputs(80, sold, card=card("hard"), spec=adapting("majority"))
    voted = surrogate.adapted_targets(what, groups)
    for group in range(16):
        counts = np.bincount(sold.labels[groups == group], minlength=K)
        assert (voted[groups == group] == counts.argmax()).all()
    for kind in ("average", "inversion"):
        with pytest.raises(ExperimentError, match=rf"answers: {kind} takes soft .* is hard\. Use"):
            surrogate.demand_answers(adapting(kind), card("hard"))
    surrogate.demand_answers(adapting("average"), card("top_k", 2))
    surrogate.demand_answers(SPEC, card("hard"))


def test_what_top_k_withheld_is_spread_before_copies_are_averaged() -> None:
    shown = np.array([[0.6, 0.0, 0.0], [0.0, 0.8, 0.0]], dtype=np.float32)
    pair = Rows(np.arange(2), shown.argmax(axis=1), np.ones(2, dtype=bool), shown)
    what = inputs(2, pair, card=card("top_k", 1), spec=adapting("average"))
    targets = surrogate.adapted_targets(what, np.zeros(2, dtype=np.int64))
    assert targets == pytest.approx(np.array([[0.35, 0.5, 0.15]] * 2))


def test_copies_of_a_window_are_never_on_both_sides_of_the_holdout() -> None:
    groups = np.random.default_rng(0).permutation(np.arange(60) // 4)
    held_out, used = surrogate.split_holdout(60, 0.2, 0, 60, groups)
    assert sorted([*held_out, *used]) == list(range(60))
    assert set(groups[held_out]).isdisjoint(groups[used])
    assert len(set(groups[held_out])) == 3
    alone = surrogate.split_holdout(4, 0.2, 0, 4, np.zeros(4))  # one window: no other way
    assert [len(part) for part in alone] == [1, 3]


def test_training_asks_the_source_which_clips_are_copies(tmp_path: Path) -> None:
    class Copies(GaussianNoiseSource):
        def group_of(self, indices: np.ndarray) -> np.ndarray:
            groups: np.ndarray = np.asarray(indices) // 4
            return groups

    what = inputs(40, spec=adapting("average"))
    source = Copies(noise().context, GaussianNoiseSpec())
    clips = Clips(source, what.rows.indices[what.rows.kept])
    trained = surrogate.train(what, clips, tmp_path / "copies")
    assert trained["trained_on"] == "soft"
    with pytest.raises(ExperimentError, match="jitter"):
        train(tmp_path / "none", what)


def test_soft_targets_are_rows_that_sum_to_one() -> None:
    rounded = np.array([[0.3, 0.3, 0.3], [0.5, 0.5, 0.0]], dtype=np.float32)
    targets = make_targets(rounded, card(), "soft")
    assert targets.sum(axis=1) == pytest.approx(1)
    assert targets[0] == pytest.approx([1 / 3] * 3)
    assert make_targets(rounded, card(), "hard").tolist() == [0, 0]


def test_what_top_k_withholds_is_spread_evenly_over_what_it_withheld() -> None:
    shown = np.array([[0.6, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    targets = make_targets(shown, card("top_k", 1), "soft")
    assert targets == pytest.approx(np.array([[0.6, 0.2, 0.2], [0.0, 0.0, 1.0]]))


def test_a_victim_that_sells_hard_labels_leaves_no_choice(tmp_path: Path) -> None:
    hard = replace(rows(), answers=rows().labels)
    what = inputs(40, hard, card=card("hard"))
    assert (what.labels, inputs(40).labels) == ("hard", "soft")
    assert train(tmp_path, what)["trained_on"] == "hard"


def test_initial_layers_are_copied_and_part_of_the_identity(tmp_path: Path) -> None:
    donor = SPEC.network.build(K)
    checkpoint.save(tmp_path / "donor", donor.state_dict(), {"kind": "victim"})
    layers = InitialLayers(checkpoint=str(tmp_path / "donor"), count=2)
    spec = SPEC.model_copy(update={"initial_layers": layers})
    started = surrogate.fresh_model(inputs(40, spec=spec)).state_dict()
    scratch = surrogate.fresh_model(inputs(40)).state_dict()
    for name, value in donor.state_dict().items():
        given = name.startswith(("conv1.", "conv2."))
        if name.endswith("weight") and value.ndim > 1:
            assert torch.equal(started[name], value) == given
            assert torch.equal(started[name], scratch[name]) == (not given)
    assert inputs(40, spec=spec).sha256() != inputs(40).sha256()


def test_frozen_initial_layers_leave_the_training_as_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = SPEC.network.build(K)
    checkpoint.save(tmp_path / "donor", donor.state_dict(), {"kind": "victim"})
    monkeypatch.setenv("DONOR", str(tmp_path / "donor"))
    trained = {}
    for frozen in (False, True):
        layers = InitialLayers(checkpoint="$DONOR", count=1, frozen=frozen)
        spec = SPEC.model_copy(update={"initial_layers": layers})
        train(tmp_path / str(frozen), inputs(40, spec=spec))
        trained[frozen] = tensors(tmp_path / str(frozen))
    for name, value in donor.state_dict().items():
        if name.startswith("conv1."):
            assert torch.equal(trained[True][name], value)
    moved = "conv1.1.weight", "conv1.2.running_mean"
    assert not any(torch.equal(trained[False][name], donor.state_dict()[name]) for name in moved)
    assert not torch.equal(trained[True]["head.weight"], trained[False]["head.weight"])


def test_initial_layers_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    donor = KnaggCNNSpec(filters=6, embedding=8).build(K)
    checkpoint.save(tmp_path / "donor", donor.state_dict(), {"kind": "victim"})
    layers = InitialLayers(checkpoint=str(tmp_path / "donor"), count=2)
    spec = SPEC.model_copy(update={"initial_layers": layers})
    with pytest.raises(ExperimentError, match=r"initial_layers.*shape"):
        surrogate.fresh_model(inputs(40, spec=spec))
    with pytest.raises(ExperimentError, match=r"initial_layers.*shape"):
        surrogate.demand_initial_layers(spec, K)
    absent = InitialLayers(checkpoint=str(tmp_path / "absent"), count=2)
    with pytest.raises(checkpoint.CheckpointError, match="absent"):
        surrogate.demand_initial_layers(SPEC.model_copy(update={"initial_layers": absent}), K)
    surrogate.demand_initial_layers(SPEC, K)


@pytest.mark.parametrize("kind", ["victim", None])
def test_something_else_is_no_surrogate(tmp_path: Path, kind: str | None) -> None:
    checkpoint.save(tmp_path, {"x": torch.zeros(1)}, {"kind": kind})
    with pytest.raises(checkpoint.CheckpointError, match="not a surrogate"):
        load_surrogate(tmp_path)
