"""What every hallucination network that is compared offers: faces at growing sizes, of which the last is the answer."""

from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.functional.resize import bicubic


class SuperResolver(nn.Module):
    """Base of the networks that make a sharp face of an enlarged probe and of nothing else.

    A subclass defines `levels`. What its paper takes from the probe's own grid it reduces itself, by `on_probe_grid`.
    """

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> faces (B, 3, S_k, S_k) at growing sizes, the last one at
        S, RGB around [-1, 1], not clipped. Most networks have one level.
        """
        raise NotImplementedError

    def forward(self, enlarged: Tensor) -> Tensor:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> face, the same shape, RGB around [-1, 1], not clipped."""
        return self.levels(enlarged)[-1]


def on_probe_grid(enlarged: Tensor, factor: int) -> Tensor:
    """Enlarged probe (B, 3, H, W), RGB in [-1, 1] -> (B, 3, H / factor, W / factor), RGB around [-1, 1].

    Antialiased bicubic reduction without rounding to 8 bits, with gradient.

    Raises:
        ValueError: H or W is not a multiple of the factor.
    """
    height, width = enlarged.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(
            f"An enlarged probe of {height}x{width} pixels has no grid {factor} times smaller: give sides that are "
            f"multiples of {factor}."
        )
    return bicubic(full_precision(enlarged), height // factor, width // factor)


def doublings(factor: int) -> int:
    """How many steps of x2 enlarge by `factor`: 3 for 8.

    Raises:
        ValueError: `factor` is not a power of two, 2 or more.
    """
    if factor < 2 or factor & (factor - 1):
        raise ValueError(f"The network enlarges in steps of x2: its factor must be 2, 4, 8, ..., got {factor}.")
    return factor.bit_length() - 1
