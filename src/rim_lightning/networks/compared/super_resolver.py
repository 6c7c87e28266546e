"""Interface of the super-resolution networks that RIM is compared with."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.functional.resize import bicubic


class SuperResolver(nn.Module, ABC):
    """Base of the networks that make a sharp face of an enlarged probe and of nothing else.

    A subclass defines `levels`. A network that works on the probe's own grid reduces the enlarged probe by
    `on_probe_grid`.
    """

    @abstractmethod
    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make faces of growing size, of which the last is the result. Most networks have one level.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,). Most networks do not read it.

        Returns:
            Faces of each level, (B, 3, S_k, S_k), RGB around [-1, 1], not clipped. The last S_k is S.
        """

    def forward(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Make sharp faces of probes.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: See `levels`.

        Returns:
            Faces, (B, 3, S, S), RGB around [-1, 1], not clipped.
        """
        return self.levels(enlarged, sizes)[-1]


def on_probe_grid(enlarged: Tensor, factor: int) -> Tensor:
    """Reduce enlarged probes to a grid `factor` times smaller.

    The reduction is antialiased bicubic, without rounding to 8 bits, with gradient.

    Args:
        enlarged: Enlarged probes, (B, 3, H, W), RGB in [-1, 1].
        factor: Reduction.

    Returns:
        Probes, (B, 3, H / factor, W / factor), float32, RGB around [-1, 1].

    Raises:
        ValueError: If H or W is not a multiple of the factor.
    """
    height, width = enlarged.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(
            f"An enlarged probe of {height}x{width} pixels has no grid {factor} times smaller: give sides that are "
            f"multiples of {factor}."
        )
    return bicubic(full_precision(enlarged), height // factor, width // factor)


def doublings(factor: int) -> int:
    """Return the number of steps of x2 that enlarge by `factor`.

    Args:
        factor: Enlargement, a power of two.

    Returns:
        Logarithm of the factor to base 2.

    Raises:
        ValueError: If `factor` is not a power of two ≥ 2.

    Example:
        >>> doublings(8)
        3
    """
    if factor < 2 or factor & (factor - 1):
        raise ValueError(f"The network enlarges in steps of x2: its factor must be 2, 4, 8, ..., got {factor}.")
    return factor.bit_length() - 1
