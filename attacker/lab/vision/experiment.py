"""The schema of the vision control, and its cells: source task x first layers x seed."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from attacker.errors import ExperimentError
from attacker.lab.vision.sgd import SgdRecipe
from attacker.tables.schema import merge
from shared.config import Frozen, read_yaml, validate
from shared.networks import WideResNet, WideResNetSpec

PAPER = "paper"
"""The profile that is the file as it stands."""
SourceTask = Literal["victim", "proxy"]
_MAX_SEEDS = 10


class Cell(Frozen):
    """One surrogate of the control."""

    source: Literal["victim", "proxy", "none"]
    """The task whose model gives the first layers; ``none`` where no layer is given."""
    first_layers: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell, as its file has it."""
        return f"{self.source}-layers{self.first_layers}-seed{self.seed}"


class VisionExperiment(Frozen):
    """The file of ``earshot-attacker vision``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    seed: int = Field(default=0, ge=0)
    """Decides the splits, and the weights of the victim and of the proxy task's model."""
    image_side_px: int = Field(default=32, ge=8, le=512)
    """Side of the square that every image is brought to."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that is kept from all training."""
    network: WideResNetSpec = WideResNetSpec()
    """Of the victim, the proxy task's model and the surrogates."""
    recipe: SgdRecipe = SgdRecipe()
    """Of all of them, too."""
    sources: tuple[SourceTask, ...] = Field(default=("victim", "proxy"), min_length=1)
    """Tasks whose models give the surrogate its first layers: the victim's own, or the proxy's."""
    first_layers: tuple[int, ...] = Field(min_length=2)
    """k: how many layers are given; it begins with 0, which the others are compared with."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0, 1, 2), min_length=1, max_length=_MAX_SEEDS
    )
    """Surrogates of each k; those of one seed begin with the same weights, whatever is given."""
    profiles: dict[str, dict[str, Any]] = Field(default={})
    """By name, what another size changes of all this."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        layers = WideResNet.LAYERS
        for k in self.first_layers:
            if not 0 <= k <= len(layers):
                raise ValueError(
                    f"first_layers: there is no k of {k}, for a {self.network.kind} has "
                    f"{len(layers)} layers ({', '.join(layers)}). Name counts from 0 to "
                    f"{len(layers)}"
                )
        if self.first_layers[0] != 0 or not _ascends(self.first_layers):
            raise ValueError(
                f"first_layers {list(self.first_layers)} must begin with 0 and ascend without "
                "repeats"
            )
        if len(set(self.sources)) != len(self.sources) or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("sources and seeds must not repeat")
        if PAPER in self.profiles:
            raise ValueError(f"profiles.{PAPER}: the file as it stands is this profile")
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Return all cells, one seed's whole curves before the next seed's.

        No layer given is the same for every source, and so is one cell.
        """
        cells: list[Cell] = []
        for seed in self.seeds:
            cells.append(Cell(source="none", first_layers=0, seed=seed))
            cells += [
                Cell(source=source, first_layers=k, seed=seed)
                for source in self.sources
                for k in self.first_layers[1:]
            ]
        return tuple(cells)

    def demand_heads_that_fit(self, victim_classes: int, proxy_classes: int) -> None:
        """Refuse to give the victim's surrogate the head of another number of classes.

        Raises:
            ExperimentError: the proxy task's head is asked for, and does not fit.
        """
        layers = len(WideResNet.LAYERS)
        if (
            "proxy" in self.sources
            and layers in self.first_layers
            and victim_classes != proxy_classes
        ):
            raise ExperimentError(
                f"first_layers: {layers} layers of the proxy's model include its head, which tells "
                f"{proxy_classes} classes apart, and the victim has {victim_classes}. Name at most "
                f"{layers - 1}, or leave the proxy out of `sources`."
            )


def load_vision(path: Path, profile: str = PAPER) -> VisionExperiment:
    """Read the control in ``path`` at the size of ``profile``; every profile of it is checked.

    Raises:
        ConfigError: the file, or one of its profiles, does not fit the schema.
        ExperimentError: it has no such profile.
    """
    plain = read_yaml(path)
    file = validate(plain, VisionExperiment, origin=str(path))
    changes = plain.pop("profiles", {})
    sizes = {PAPER: file.model_copy(update={"profiles": {}})}
    for name, change in changes.items():
        data = merge(plain, change)
        sizes[name] = validate(data, VisionExperiment, origin=f"{path}, profile {name}")
    if profile not in sizes:
        raise ExperimentError(
            f"{path} has no profile {profile!r}. Name one of {', '.join(sizes)}, or add it under "
            "`profiles`."
        )
    return sizes[profile]


def _ascends(counts: tuple[int, ...]) -> bool:
    return list(counts) == sorted(set(counts))
