"""What a table says of its generators and source models: where they lie, or how they are made."""

from typing import Self

from pydantic import Field, model_validator

from attacker.tables.answers import RowAnswers
from attacker.wavegan.config import GanConfig
from shared.config import Frozen
from shared.networks import NetworkSpec
from shared.training import Recipe


class GeneratorSpec(Frozen):
    """A WaveGAN: a folder that holds one, or a corpus to train one on."""

    folder: str | None = None
    corpus: str | None = None
    """Name of one of the table's corpora."""
    sample_rate_hz: int | None = None
    """That of the table's audio unless given."""
    gan: GanConfig | None = None
    answers: RowAnswers | None = None
    """Weights of the corpus's clips; null draws all alike."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.folder is None) == (self.corpus is None) or (self.corpus is None) != (
            self.gan is None
        ):
            raise ValueError("give either `folder`, or `corpus` and `gan`")
        if self.folder is not None and self.answers is not None:
            raise ValueError(
                "answers: a generator that is made already learns from none. Give `corpus` and "
                "`gan` in place of `folder`, or leave `answers` out"
            )
        return self


class SourceModelSpec(Frozen):
    """A model whose first layers are known: a checkpoint, or a task to train one on."""

    checkpoint: str | None = None
    """Folder; ``$EARSHOT_VICTIM`` is the victim itself, which is a white-box grant."""
    corpus: str | None = None
    """Name of one of the table's corpora; its speakers are the labels."""
    network: NetworkSpec | None = None
    """The surrogate's unless given."""
    recipe: Recipe | None = None
    """The surrogate's unless given."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.checkpoint is None) == (self.corpus is None):
            raise ValueError("give either `checkpoint` or `corpus`")
        return self
