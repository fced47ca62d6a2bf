"""What docs/tables.md expects of a GPU is what the files and the networks come to."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import attacker
from attacker.samplers.dynamic_threshold import DynamicThresholdSpec
from attacker.samplers.static_threshold import StaticThresholdSpec
from attacker.tables.file import load_table
from attacker.tables.schema import Row
from attacker.wavegan.loss import critic_loss
from attacker.wavegan.networks import Critic, Generator
from shared.networks import KnaggCNNSpec

PACKAGE = Path(attacker.__file__).parent
DOCS = (PACKAGE.parent / "docs" / "tables.md").read_text()
SAMPLES, BATCH, CRITIC_STEPS = 16_384, 64, 5
FLOP_PER_S = 10e12
CLIPS = {"paper-asc": (30, 30 * 96), "paper": (1251, 83_170)}
"""Labels of the victim, and its training clips."""


def flop(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        work()
    return int(counter.get_total_flops())


def knagg_flop() -> tuple[int, int]:
    """Return what one clip takes forward, and trained."""
    with torch.device("meta"):
        network, clip = KnaggCNNSpec(filters=128, embedding=128).build(30), torch.empty(1, SAMPLES)
    return flop(lambda: network(clip)), flop(lambda: network(clip).sum().backward())


def gan_flop() -> tuple[int, int]:
    """Return what one clip takes to make, and one step of the training."""
    with torch.device("meta"):
        generator, critic = Generator(64, 100, SAMPLES), Critic(64, SAMPLES)
        latent, real, mix = (torch.empty(BATCH, size) for size in (100, SAMPLES, 1))
    shifts = [1] * critic.shuffles

    @torch.no_grad()
    def make() -> torch.Tensor:
        made: torch.Tensor = generator(latent)
        return made

    def criticise() -> None:
        critic_loss(critic, real, make(), mix, [shifts] * 3, 10.0).total.backward()

    def generate() -> None:
        critic.requires_grad_(False)
        critic(generator(latent), shifts).mean().backward()
        critic.requires_grad_(True)

    return flop(make) // BATCH, CRITIC_STEPS * flop(criticise) + flop(generate)


def most_kept(row: Row, profile: str) -> int:
    labels, clips = CLIPS[profile]
    if isinstance(row.sampler, StaticThresholdSpec):
        return min(row.budget, row.sampler.tau * labels)
    if isinstance(row.sampler, DynamicThresholdSpec):
        return min(row.budget, int(row.sampler.alpha * clips))
    return row.budget


def test_the_networks_take_what_is_said() -> None:
    forward, trained = knagg_flop()
    made, step = gan_flop()
    assert f"{forward / 1e9:.2f} GFLOP a clip forward, {trained / 1e9:.2f} trained" in DOCS
    assert f"{made / 1e9:.2f} GFLOP a clip made; {step / 1e12:.2f} TFLOP a step" in DOCS
    assert f"made and answered: {(made + forward) / 1e9:.2f} GFLOP" in DOCS
    hours = [steps * step / FLOP_PER_S / 3600 for steps in (20_000, 170_000)]
    assert f"takes {hours[0]:.1f} hours of `paper-asc`" in DOCS
    assert f"and {hours[1]:.1f} of `paper`" in DOCS


@pytest.mark.parametrize("profile", CLIPS)
def test_the_tables_take_what_is_said(profile: str) -> None:
    forward, trained = knagg_flop()
    queries = 0
    for name in ("table3", "table4"):
        table = load_table(PACKAGE / "experiments" / "paper" / f"{name}.yaml", profile)
        kept = [most_kept(row, profile) for row in table.rows]
        bought = sum(row.budget for row in table.rows)
        queries += len(table.seeds) * bought
        spec = table.experiment(table.rows[0], 0).surrogate
        clips = len(table.seeds) * spec.recipe.epochs * sum(kept)  # an epoch meets all of them
        work = clips * ((1 - spec.holdout) * trained + spec.holdout * forward)
        line = (
            f"| `{name}`, `{profile}` | {bought:,} | {sum(kept):,} | "
            f"{clips * (1 - spec.holdout) / 1e6:.1f} million clips | "
            f"{work / FLOP_PER_S / 3600:.1f} |"
        )
        assert line in DOCS
    assert f"{queries:,}" in DOCS
    budgets = [int(number) for number in re.findall(r"--budget (\d{7,})", DOCS)]
    assert any(queries <= budget < 1.01 * queries for budget in budgets)
