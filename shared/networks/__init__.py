"""Speaker-identification networks: one file an architecture, one line a table row."""

from typing import Annotated

from pydantic import Field

from shared.networks.base import SpeakerNetwork, copy_first_layers
from shared.networks.knagg_cnn import KnaggCNN, KnaggCNNSpec

NetworkSpec = Annotated[KnaggCNNSpec, Field()]
NETWORKS: dict[str, type[KnaggCNNSpec]] = {"knagg_cnn": KnaggCNNSpec}

__all__ = [
    "NETWORKS",
    "KnaggCNN",
    "KnaggCNNSpec",
    "NetworkSpec",
    "SpeakerNetwork",
    "copy_first_layers",
]
