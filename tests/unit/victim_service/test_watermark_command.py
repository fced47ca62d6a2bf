"""``earshot-victim verify-watermark`` finds the mark that a service left, with its own secret."""

import numpy as np
import pytest

from shared.checkpoint import TENSORS_HASH, load_card
from tests.support.victims import make_clips, make_victim
from victim_service import __main__ as cli
from victim_service.commands.common import with_ledger
from victim_service.defences import Asked, defend
from victim_service.plan_book import COMMAND_SOURCE, PlanBook
from victim_service.plans import Plan
from victim_service.secret import load_secret
from victim_service.settings import Settings

CLIPS, SPEAKERS = 400, 5
PLAN = {
    "name": "marked",
    "label_mode": "soft",
    "defences": [{"kind": "rounding", "decimals": 2}, {"kind": "dawn", "rate": 0.2}],
}


@pytest.fixture
def world(tmp_path, monkeypatch, capsys):
    """A ledger with a plan, clips, and a way to run the command on answers."""
    folder = make_victim(tmp_path / "victim", SPEAKERS)
    address = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    monkeypatch.setenv("VICTIM_LEDGER", address)
    settings = Settings(ledger=address)

    async def found(store):
        await PlanBook(store).put(Plan.model_validate(PLAN), COMMAND_SOURCE)
        return await load_secret(settings, store)

    secret = with_ledger(settings, found, create=True)
    clips = make_clips(CLIPS, 1024, seed=3)
    np.save(tmp_path / "clips.npy", clips)
    asked = Asked(secret, "alice", load_card(folder)[TENSORS_HASH], "marked", 1)
    rows = np.random.default_rng(0).dirichlet(np.ones(SPEAKERS), CLIPS).astype(np.float32)

    def run(answers: np.ndarray, **options: object) -> tuple[int, str, str]:
        np.save(tmp_path / "answers.npy", answers)
        named = {"checkpoint": folder, "account": "alice", "plan": "marked", **options}
        words = [f"--{name}={value}" for name, value in named.items()]
        files = [str(tmp_path / "clips.npy"), str(tmp_path / "answers.npy")]
        monkeypatch.setattr("sys.argv", ["earshot-victim", "verify-watermark", *files, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return run, rows, defend(rows, clips, Plan.model_validate(PLAN).defences, asked)


def test_a_model_that_repeats_what_was_sold_is_accused_and_others_are_not(world):
    run, rows, sold = world
    for answers in (sold, sold.argmax(axis=1)):
        status, out, _ = run(answers)
        assert status == 0
        assert f"{CLIPS} clips, " in out
        assert "The suspect learnt from these answers" in out
    for answers, options in ((rows, {}), (sold, {"account": "bob"})):
        status, out, _ = run(answers, **options)
        assert status == 1
        assert "No evidence of theft" in out


@pytest.mark.parametrize(
    ("answers", "options", "reason"),
    [
        (np.zeros(CLIPS, dtype=np.int64), {"version": 7}, "no version 7 of plan 'marked'. See"),
        (np.zeros(CLIPS, dtype=np.int64), {"plan": "soft"}, "no version 1 of plan 'soft'"),
        (np.zeros(3, dtype=np.int64), {}, "Give one label, from 0 on, for each clip."),
        (np.zeros(CLIPS, dtype=np.float32), {}, "are no answers. Give integer labels"),
        (np.ones((CLIPS, 4), dtype=np.float32), {}, "or probabilities (B, 5)."),
    ],
)
def test_what_cannot_be_judged_ends_in_one_line(world, answers, options, reason):
    status, _, err = world[0](answers, **options)
    assert status == 1
    assert err.count("\n") == 1
    assert reason in err
