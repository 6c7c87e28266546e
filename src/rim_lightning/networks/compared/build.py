"""Super-resolution networks by name, and the two that need no file of their own."""

from collections.abc import Callable, Mapping
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
        network: Arguments of `CoarseSR`.
    """

    def __init__(self, network: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = CoarseSR(**network)

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Make one face of each probe, see `SuperResolver.levels`."""
        return [self.network(enlarged)]


class Bicubic(SuperResolver):
    """The enlarged probe itself, without parameters."""

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Return the enlarged probe."""
        return [enlarged]


SUPER_RESOLVERS: dict[str, Callable[..., SuperResolver]] = {
    "srcnn": SRCNN,
    "vdsr": VDSR,
    "lapsrn": LapSRN,
    "esrgan": ESRGAN,
    "coarse": CoarseSuperResolver,
    "bicubic": Bicubic,
}


def build_super_resolver(name: str, **arguments: Any) -> SuperResolver:
    """Build a super-resolution network with random weights.

    Args:
        name: Name from `SUPER_RESOLVERS`.
        **arguments: Arguments of its constructor.

    Returns:
        The network, in train mode.

    Raises:
        ValueError: If the name is unknown. The message lists the names.
    """
    if name not in SUPER_RESOLVERS:
        raise ValueError(f'There is no super-resolution network "{name}"; choose one of {", ".join(SUPER_RESOLVERS)}.')
    return SUPER_RESOLVERS[name](**arguments)
