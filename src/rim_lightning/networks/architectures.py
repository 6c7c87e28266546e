"""What a checkpoint can hold, by name: RIM as a whole, a hallucinator, a recogniser."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from rim_lightning.networks.hallucinators import build_hallucinator
from rim_lightning.networks.recogniser import build_recogniser
from rim_lightning.networks.rim import RIM

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "rim": RIM,
    "hallucinator": build_hallucinator,
    "recogniser": build_recogniser,
}


def build_architecture(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network of that name with random weights; raises ValueError, which lists the names, for another."""
    if name not in ARCHITECTURES:
        raise ValueError(f'There is no architecture "{name}"; choose one of {", ".join(ARCHITECTURES)}.')
    return ARCHITECTURES[name](**arguments)
