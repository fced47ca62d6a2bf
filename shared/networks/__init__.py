"""Networks: one file an architecture, one line a table row.

Networks of speech and of images have a table each. An API of this house sells answers to speech
alone, so wherever a file names a network for one, ``NetworkSpec`` takes no image network.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from shared.networks.base import LayeredNetwork, SpeakerNetwork, copy_first_layers
from shared.networks.knagg_cnn import KnaggCNN, KnaggCNNSpec
from shared.networks.wide_resnet import WideResNet, WideResNetSpec

NETWORKS: dict[str, type[KnaggCNNSpec]] = {"knagg_cnn": KnaggCNNSpec}
IMAGE_NETWORKS: dict[str, type[WideResNetSpec]] = {"wide_resnet": WideResNetSpec}


def _refuse_images(spec: Any) -> Any:
    kind = spec.get("kind") if isinstance(spec, dict) else None
    if isinstance(kind, str) and kind in IMAGE_NETWORKS:
        raise ValueError(
            f"a {kind} classifies images, and clips of speech are classified here. Name one of "
            f"{', '.join(NETWORKS)}; images are for `earshot-attacker vision` alone"
        )
    return spec


NetworkSpec = Annotated[KnaggCNNSpec, Field(), BeforeValidator(_refuse_images)]

__all__ = [
    "IMAGE_NETWORKS",
    "NETWORKS",
    "KnaggCNN",
    "KnaggCNNSpec",
    "LayeredNetwork",
    "NetworkSpec",
    "SpeakerNetwork",
    "WideResNet",
    "WideResNetSpec",
    "copy_first_layers",
]
