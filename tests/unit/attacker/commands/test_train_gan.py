from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import attacker.wavegan.train
from attacker.commands.train_gan import train_gan
from attacker.errors import JournalError
from attacker.journal import Journal
from attacker.wavegan.generator import load_generator
from shared.audio import to_wav
from shared.corpora import CorpusError, SpeakerTreeSpec
from shared.corpora.store import ClipStore
from shared.messages import is_ours

CONFIG = """
corpus: {{kind: speaker_tree, root: {root}}}
sample_rate_hz: 4000
gan:
  {{clip_samples: 256, dim: 2, latent: 4, steps: 4, batch_size: 4, {more}
    checkpoint_every: 2, health: {{every: 2, clips: 8{limits}}}}}
"""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacker.wavegan.train, "write_preview", lambda *_: None)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root, rng = tmp_path / "corpus", np.random.default_rng(0)
    for speaker in ("ann", "bob"):
        (root / speaker).mkdir(parents=True)
        for number in range(2):
            wave = rng.uniform(-0.5, 0.5, 900).astype(np.float32)
            (root / speaker / f"{number}.wav").write_bytes(to_wav(wave, 4000))
    return root


def write_config(corpus: Path, more: str = "", limits: str = "") -> Path:
    path = corpus.parent / "gan.yaml"
    path.write_text(CONFIG.format(root=corpus, more=more, limits=limits))
    return path


def run(config: Path, *options: str) -> Result:
    app = typer.Typer()
    app.command()(train_gan)
    folder = config.parent
    arguments = [str(config), "--out", str(folder / "gan"), "--cache", str(folder / "cache")]
    return CliRunner().invoke(app, [*arguments, *options])


def test_trains_shows_findings_and_records_the_command(corpus: Path) -> None:
    config = write_config(corpus)
    result = run(config)
    assert result.exit_code == 0, result.output
    assert "diversity" in result.output
    assert "Generator at step 4" in result.output
    card = load_generator(config.parent / "gan").card
    assert card["command"] == f"earshot-attacker train-gan {config} --out {config.parent / 'gan'}"
    assert card["corpus"]["kind"] == "speaker_tree"


def test_steps_lengthens_a_finished_training_and_fresh_forgets_it(corpus: Path) -> None:
    config = write_config(corpus)
    assert run(config, "--steps", "2").exit_code == 0
    assert "Generator at step 6" in run(config, "--steps", "6").output
    assert "Generator at step 2" in run(config, "--steps", "2", "--fresh").output


def test_an_unreadable_file_is_named_and_the_training_goes_on(corpus: Path) -> None:
    (corpus / "bob" / "broken.wav").write_bytes(b"not audio")
    result = run(write_config(corpus))
    assert result.exit_code == 0, result.output
    assert "broken.wav" in result.output


@pytest.mark.parametrize(
    ("more", "limits", "message"),
    [
        ("colour: red,", "", "gan.colour: unknown key"),
        ("clip_samples: 1000,", "", "16 * 4**n"),
        ("", ", grace_steps: 0, patience: 1, min_loudness: 1000", "the generator is silent"),
    ],
)
def test_errors_carry_advice(corpus: Path, more: str, limits: str, message: str) -> None:
    error = run(write_config(corpus, more, limits)).exception
    assert error is not None
    assert is_ours(error)
    assert message in str(error)


def test_answers_of_a_paid_campaign_weigh_the_corpus_and_are_on_the_card(corpus: Path) -> None:
    config = write_config(corpus)
    folder = config.parent
    store = ClipStore.open(
        SpeakerTreeSpec(root=str(corpus)).build(folder / "cache"), 4000, folder / "cache"
    )
    identity = {
        "campaign": {"name": "asked", "source": {"kind": "proxy"}},
        "seed": 0,
        "material": store.manifest_sha256,
        "victim": "victim-hash",
        "label_mode": "soft",
        "n_classes": 2,
        "sample_rate_hz": 4000,
        "clip_samples": 256,
    }
    journal = Journal.open(folder / "run" / "asked", identity)
    batch = journal.plan(iteration=1, first_index=0, clips=3, payload_sha256="x")
    answers = np.array([[1, 0], [0.5, 0.5], [0.9, 0.1]], dtype=np.float32)
    journal.answer(batch, answers)
    journal.observe(batch, answers.argmax(axis=1), np.ones(3, dtype=bool))
    journal.close()
    config.write_text(config.read_text() + f"answers: {{run: {folder / 'run'}, campaign: asked}}")
    result = run(config)
    assert result.exit_code == 0, result.output
    assert "drawn by entropy, as 3 answers of the victim tell" in result.output
    assert "1 of 4 clips were never asked" in result.output
    card = load_generator(folder / "gan").card
    assert (card["answers"]["victim"], card["answers"]["clips_asked"]) == ("victim-hash", 3)
    config.write_text(config.read_text().replace("campaign: asked", "campaign: unknown"))
    error = run(config).exception
    assert isinstance(error, JournalError)
    assert is_ours(error)


def test_a_missing_corpus_is_an_error(tmp_path: Path) -> None:
    error = run(write_config(tmp_path / "nowhere")).exception
    assert isinstance(error, CorpusError)
    assert "nowhere" in str(error)


def test_an_interruption_says_how_to_go_on(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attacker.wavegan.train.Training, "advance", interrupt)
    result = run(write_config(corpus))
    assert result.exit_code == 130
    assert "The same command goes on" in result.output
