"""The hallucination networks by name."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rim_lightning.networks.compared.esrgan import ESRGAN
from rim_lightning.networks.compared.lapsrn import LapSRN
from rim_lightning.networks.compared.srcnn import SRCNN
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.compared.vdsr import VDSR
from rim_lightning.networks.hallucination.coarse import CoarseSR


class CoarseSuperResolver(SuperResolver):
    """The coarse net Gθc of RIM alone.

    Args:
        network: arguments of `CoarseSR`.
    """

    def __init__(self, network: Mapping[str, Any]):
        super().__init__()
        self.network = CoarseSR(**network)

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> one face, the same shape, not clipped."""
        return [self.network(enlarged)]


class Bicubic(SuperResolver):
    """The enlarged probe as it is, without parameters."""

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S) -> the same."""
        return [enlarged]


SUPER_RESOLVERS: dict[str, type[SuperResolver]] = {
    "srcnn": SRCNN,
    "vdsr": VDSR,
    "lapsrn": LapSRN,
    "esrgan": ESRGAN,
    "coarse": CoarseSuperResolver,
    "bicubic": Bicubic,
}


def build_super_resolver(name: str, **arguments) -> SuperResolver:
    """The network of that name with random weights; `arguments` go to its constructor.

    Raises:
        ValueError: there is no network of that name; the message lists the names.
    """
    if name not in SUPER_RESOLVERS:
        raise ValueError(f'There is no super_resolver "{name}"; choose one of {", ".join(SUPER_RESOLVERS)}.')
    return SUPER_RESOLVERS[name](**arguments)
