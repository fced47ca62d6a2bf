"""The attacker's client against the real service: what one writes, the other reads."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from attacker.errors import (
    BudgetExhausted,
    InvalidKey,
    KeyReused,
    TooLarge,
    WrongLength,
    WrongScope,
)
from attacker.http_oracle import HttpOracle
from attacker.surrogate import make_targets
from shared import checkpoint
from shared.audio import from_int16, to_int16
from shared.networks import KnaggCNNSpec
from tests.support.keys import add_key
from tests.support.victims import RunningVictim, make_clips, make_victim, running_victim

T = TypeVar("T")
BUDGET = 40
PLANS = ("hard", "top5", "rounded", "temperature")


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    folder = tmp_path_factory.mktemp("victim")
    make_victim(folder / "checkpoint")
    with running_victim(folder / "checkpoint", folder, new_keys=False) as running:
        path = running.ledger_path
        running.keys = {n: add_key(path, n, budget=BUDGET) for n in ("rich", "poor", "odd")}
        running.keys |= {plan: add_key(path, plan, plan=plan) for plan in PLANS}
        running.keys["audit"] = add_key(path, "laboratory", scope="audit")
        yield running


@pytest.fixture
def clips() -> np.ndarray:
    return to_int16(make_clips(6, seed=4))


def ask(victim: RunningVictim, name: str, question: Callable[[HttpOracle], Awaitable[T]]) -> T:
    async def run() -> T:
        async with HttpOracle(victim.url, victim.keys.get(name, name), patience_s=5) as oracle:
            return await question(oracle)

    return asyncio.run(run())


def expected(checkpoint_folder: Path, clips: np.ndarray) -> np.ndarray:
    tensors, card = checkpoint.load(checkpoint_folder)
    model = KnaggCNNSpec.model_validate(card["network"]).build(len(card["labels"]))
    model.load_state_dict(tensors)
    with torch.inference_mode():
        rows: np.ndarray = model.eval()(torch.from_numpy(from_int16(clips))).softmax(1).numpy()
    return rows


def test_soft_answers_are_the_models_own(victim: RunningVictim, clips: np.ndarray) -> None:
    answers = ask(victim, "rich", lambda o: o.classify(clips, "contract-soft-1"))
    assert answers == pytest.approx(expected(victim.checkpoint, clips), abs=1e-4)


def test_hard_and_top_k_answers(victim: RunningVictim, clips: np.ndarray) -> None:
    rows = expected(victim.checkpoint, clips)
    hard = ask(victim, "hard", lambda o: o.classify(clips, "contract-hard-1"))
    assert hard.tolist() == rows.argmax(axis=1).tolist()
    top = ask(victim, "top5", lambda o: o.classify(clips, "contract-top5-1"))
    assert top == pytest.approx(rows, abs=1e-4)  # five speakers: nothing is left to withhold
    assert ask(victim, "top5", lambda o: o.card()).top_k == 5


def test_rounded_and_tempered_answers(victim: RunningVictim, clips: np.ndarray) -> None:
    rows = expected(victim.checkpoint, clips)
    for name, largest_change in (("rounded", 0.02), ("temperature", 1.0)):
        answers = ask(victim, name, lambda o: o.classify(clips, "contract-modes-1"))
        card = ask(victim, name, lambda o: o.card())
        assert card.label_mode == name
        assert answers.shape == rows.shape
        assert answers.sum(axis=1) == pytest.approx(1, abs=1e-6)
        assert answers.argmax(axis=1).tolist() == rows.argmax(axis=1).tolist()
        assert 1e-4 < np.abs(answers - rows).max() <= largest_change
        targets = make_targets(answers, card, "soft")  # what a surrogate is trained on
        assert targets == pytest.approx(answers, abs=1e-6)
    rounded = ask(victim, "rounded", lambda o: o.classify(clips, "contract-modes-1"))
    assert rounded * 100 == pytest.approx(np.rint(rounded * 100), abs=1e-4)
    roots = np.sqrt(rows)  # the shipped plan has T = 2
    tempered = ask(victim, "temperature", lambda o: o.classify(clips, "contract-modes-1"))
    assert tempered == pytest.approx(roots / roots.sum(axis=1, keepdims=True), abs=1e-4)


def test_the_same_key_and_bytes_cost_once(victim: RunningVictim, clips: np.ndarray) -> None:
    before = ask(victim, "odd", lambda o: o.account()).spent
    answers = [ask(victim, "odd", lambda o: o.classify(clips, "contract-again")) for _ in range(3)]
    account = ask(victim, "odd", lambda o: o.account())
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])
    assert (account.spent - before, account.budget) == (6, BUDGET)
    with pytest.raises(KeyReused):
        ask(victim, "odd", lambda o: o.classify(clips[::-1], "contract-again"))


def test_a_budget_that_does_not_cover_a_batch(victim: RunningVictim) -> None:
    many = to_int16(make_clips(BUDGET + 1))
    with pytest.raises(BudgetExhausted) as caught:
        ask(victim, "poor", lambda o: o.classify(many, "contract-poor-1"))
    assert caught.value.remaining == BUDGET
    assert ask(victim, "poor", lambda o: o.account()).spent == 0


def test_wrong_clips_and_keys(victim: RunningVictim, clips: np.ndarray) -> None:
    with pytest.raises(WrongLength):
        ask(victim, "rich", lambda o: o.classify(clips[:, :-1], "contract-short"))
    many = np.zeros((300, 1024), np.int16)
    with pytest.raises(TooLarge):
        ask(victim, "audit", lambda o: o.classify(many, "contract-large"))
    with pytest.raises((InvalidKey, WrongScope)):
        ask(victim, "lab_nobody_at_all", lambda o: o.account())


def test_an_audit_key_is_complete_and_unmetered(victim: RunningVictim, clips: np.ndarray) -> None:
    answers = ask(victim, "audit", lambda o: o.classify(clips, "contract-audit-1"))
    assert answers == pytest.approx(expected(victim.checkpoint, clips), abs=1e-4)
    assert ask(victim, "audit", lambda o: o.account()).budget is None
