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
from rim_lightning.networks.probe_size import with_size


class CoarseSuperResolver(SuperResolver):
    """The coarse net Gθc of RIM alone.

    Args:
        network: Arguments of `CoarseSR`.
        size_input: Read the size of the probe, as RIM's does.
        lr_size: Nominal side of a probe in pixels; needed with `size_input`.

    Raises:
        ValueError: If the nominal size is needed and missing.
    """

    def __init__(self, network: Mapping[str, Any], size_input: bool = False, lr_size: int | None = None) -> None:
        super().__init__()
        if size_input and lr_size is None:
            raise ValueError("A network that takes the size of the probe needs its nominal size: give lr_size.")
        self.network = CoarseSR(**network, size_input=size_input)
        self.nominal = lr_size if size_input else None

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make one face of each probe, see `SuperResolver.levels`."""
        probes = enlarged if self.nominal is None else with_size(enlarged, sizes, self.nominal)
        return [self.network(probes).faces]


class Bicubic(SuperResolver):
    """The enlarged probe itself, without parameters."""

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
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
