"""Subsets: the victim's own split, few speakers, and clips spread evenly."""

from collections import Counter
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.corpora import Corpus, CorpusError, CorpusSpec, SpeakerTreeSpec, SubsetSpec
from shared.corpora.subset import MIN_CLIPS
from tests.support.tables import write_proxy
from victim_service.train import MIN_CLIPS as VICTIMS_MIN_CLIPS
from victim_service.train import VictimRecipe, load_data

SIZES = {"ann": 20, "bob": 10, "cy": 6, "dee": 3}


@pytest.fixture
def tree(tmp_path: Path) -> SpeakerTreeSpec:
    for speaker, count in SIZES.items():
        for number in range(count):
            path = tmp_path / "tree" / speaker / f"{number:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return SpeakerTreeSpec(root=str(tmp_path / "tree"))


def build(tree: SpeakerTreeSpec, **fields: object) -> Corpus:
    return SubsetSpec(of=tree, **fields).build(Path("unused"))  # type: ignore[arg-type]


def counts(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(clip.speaker for clip in corpus.clips))


def ids(corpus: Corpus) -> set[str]:
    return {clip.clip_id for clip in corpus.clips}


def test_the_parts_are_those_of_the_victim(tmp_path: Path) -> None:
    root = write_proxy(tmp_path / "speech", speakers=3, clips=36)
    (root / "s3").mkdir()
    (root / "s3" / "lonely.wav").write_bytes((root / "s0" / "00.wav").read_bytes())
    tree = SpeakerTreeSpec(root=str(root))
    recipe = VictimRecipe.model_validate(
        {
            "name": "v", "seed": 7, "corpus": tree.model_dump(), "sample_rate_hz": 4000,
            "clip_samples": 1024, "network": {"kind": "knagg_cnn"}, "recipe": {},
        }
    )  # fmt: skip
    data = load_data(recipe, tmp_path / "cache")
    for part in ("train", "validation", "test"):
        wanted = {data.store.clips[index].clip_id for index in getattr(data.split, part)}
        assert ids(build(tree, part=part, split_seed=7)) == wanted
    assert ids(build(tree, part="train", split_seed=8)) != ids(
        build(tree, part="train", split_seed=7)
    )
    assert MIN_CLIPS == VICTIMS_MIN_CLIPS


def test_the_parts_share_the_clips_of_speakers_with_enough(tree: SpeakerTreeSpec) -> None:
    parts = [build(tree, part=part) for part in ("train", "validation", "test")]
    assert counts(parts[0]) == {"ann": 12, "bob": 6, "cy": 4}
    assert sum(len(part.clips) for part in parts) == 36
    assert len(set.union(*map(ids, parts))) == 36
    assert counts(build(tree)) == SIZES


def test_speakers_are_kept_whole_and_drawn_by_the_seed(tree: SpeakerTreeSpec) -> None:
    drawn = {seed: counts(build(tree, speakers=2, seed=seed)) for seed in range(8)}
    assert all(len(speakers) == 2 for speakers in drawn.values())
    assert all(SIZES[name] == n for found in drawn.values() for name, n in found.items())
    assert len({tuple(sorted(found)) for found in drawn.values()}) > 1
    assert drawn[3] == counts(build(tree, speakers=2, seed=3))


def test_clips_are_spread_as_evenly_as_the_speakers_have_them(tree: SpeakerTreeSpec) -> None:
    assert counts(build(tree, clips=12)) == dict.fromkeys(SIZES, 3)
    assert counts(build(tree, clips=24)) == {"ann": 8, "bob": 7, "cy": 6, "dee": 3} or counts(
        build(tree, clips=24)
    ) == {"ann": 7, "bob": 8, "cy": 6, "dee": 3}
    assert counts(build(tree, clips=39)) == SIZES
    some = [ids(build(tree, clips=12, seed=seed)) for seed in (0, 1)]
    assert some[0] != some[1]
    assert some[0] == ids(build(tree, clips=12, seed=0))
    assert ids(build(tree, clips=12)) < ids(build(tree, clips=24))


def test_few_speakers_and_all_of_them_at_equal_volume(tree: SpeakerTreeSpec) -> None:
    few, diverse = build(tree, speakers=2, clips=9), build(tree, clips=9)
    assert len(few.clips) == len(diverse.clips) == 9
    assert (len(few.speakers), len(diverse.speakers)) == (2, 4)
    assert few.name == "tree-all-2-speakers-9-clips"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"speakers": 5}, r"5 speakers are wanted.*has 4.*Lower `speakers`"),
        ({"clips": 40}, r"40 clips are wanted.*has 39.*Lower `clips`"),
        ({"part": "train", "speakers": 4}, r"'train' has 3"),
        ({"part": "train", "clips": 23}, r"'train' has 22"),
    ],
)
def test_more_than_there_is_is_refused(
    tree: SpeakerTreeSpec, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        build(tree, **fields)


def test_a_missing_whole_and_a_subset_of_a_subset_are_refused(tree: SpeakerTreeSpec) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        build(SpeakerTreeSpec(root="/no/such"), part="train")
    adapter: TypeAdapter[CorpusSpec] = TypeAdapter(CorpusSpec)
    inner = {"kind": "subset", "of": tree.model_dump()}
    assert isinstance(adapter.validate_python(inner), SubsetSpec)
    with pytest.raises(ValidationError, match="speaker_tree"):
        adapter.validate_python({"kind": "subset", "of": inner})
