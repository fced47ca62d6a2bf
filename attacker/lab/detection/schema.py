"""What a trial of detectors is: a plan that watches, and whom it is to watch."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from attacker.experiment import Name
from attacker.sources import SourceSpec
from shared.config import Frozen
from shared.corpora import CorpusSpec
from shared.honest import AnyUserSpec


class CellsOf(Frozen):
    """Which of a study's cells are the same attack, so that they say what it steals for how much.

    The study is the one that the trial is written into.
    """

    attacker: str
    plan: str
    label_mode: str | None = None
    """None takes the only one."""


class Suspect(Frozen):
    """An attacker, as a detector meets it: a stream of clips from one account or several."""

    name: Name
    source: SourceSpec
    accounts: int = Field(default=1, ge=1, le=64)
    """n: a Sybil's batches come from its n accounts in turn."""
    run: str | None = None
    """Folder of a measured run of the same attack, which says what was stolen at each mark."""
    campaign: str | None = None
    """Which of the run's campaigns; None takes the only one."""
    cells: CellsOf | None = None
    """Cells that say what was stolen, in place of a run: at each budget, the mean over seeds."""

    @model_validator(mode="after")
    def _one_record(self) -> Self:
        if self.run is not None and self.cells is not None:
            raise ValueError(
                "what was stolen is told by `run` or by `cells`. Leave one of them out"
            )
        return self


class DetectionTrialSpec(Frozen):
    """A trial file."""

    name: Name
    plan: str | dict[str, Any]
    """Name of a plan that is sold, or a whole plan, which is put into the ledger. It should only
    observe: a ladder that answers alarms would end the very stream that is judged."""
    proxy: CorpusSpec
    queries: int = Field(ge=1, le=10_000_000)
    """Clips that each attacker sends."""
    batch_clips: int = Field(default=50, ge=1, le=4096)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    false_alarm_target: float = Field(default=0.001, gt=0, lt=1)
    """What the thresholds were fitted to; it is noted in the rows."""
    attackers: tuple[Suspect, ...] = ()
    users: tuple[AnyUserSpec, ...] = ()
    """Kinds of honest users."""
    users_each: int | None = Field(default=None, ge=1, le=100_000)
    """Users of each kind, by the seeds from 0 on; None takes ``seeds``. Many are needed: 3,700
    honest windows without an alarm are the least that shows a rate of at most 0.1 %."""
    user_queries: int | None = Field(default=None, ge=1, le=10_000_000)
    """Clips that each user sends; None takes ``queries``."""

    @property
    def user_seeds(self) -> Sequence[int]:
        """The seeds of the users of each kind: another seed is another person."""
        return self.seeds if self.users_each is None else range(self.users_each)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        names = [one.name for one in self.attackers]
        if len(set(names)) != len(names):
            raise ValueError(f"attackers must have names that differ: {', '.join(names)}")
        if not self.attackers and not self.users:
            raise ValueError("there is nobody to watch. Name attackers, users, or both")
        if isinstance(self.plan, dict) and not isinstance(self.plan.get("name"), str):
            raise ValueError("a whole plan needs a name. Add plan.name")
        return self
