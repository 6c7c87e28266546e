"""Interface of the face-recognition networks: four stage maps and an embedding."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Base of the recognition networks (teacher NθT, student NθS, assistant NθA).

    A subclass defines `stages` and sets the attributes in its constructor. Images are RGB in [-1, 1]. If a published
    network takes another range or order of channels, its subclass converts them inside `stages`.

    Attributes:
        input_channels: Channels of the input: RGB, and what a network reads beside it (`ExtendedConv`).
        input_size: Side of the square input in pixels. Other sizes are refused; the caller resizes.
        stage_channels: Channels of the four stage maps.
        stage_sizes: Sides of the four square stage maps in pixels; 56, 28, 14, 7 for an input of 112.
        embedding_size: Length E of the embedding. None for a network without a head of its own.
        embed: Head, which maps (B, C_4, S_4, S_4) to (B, E), or None.
        has_maps: False for an embedder whose stage maps are unknown: they are its embedding, one pixel wide.
    """

    input_channels: int = 3
    input_size: int
    stage_channels: tuple[int, int, int, int]
    stage_sizes: tuple[int, int, int, int]
    embedding_size: int | None
    embed: nn.Sequential | None
    has_maps: bool = True

    @abstractmethod
    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps.

        Args:
            x: Faces, (B, input_channels, input_size, input_size), RGB in [-1, 1] first.

        Returns:
            Stage maps f^1 to f^4, (B, C_k, S_k, S_k).

        Raises:
            ValueError: If the faces have another size.
        """

    def head(self, last_stage: Tensor) -> Tensor:
        """Make the embedding of the last stage map.

        Args:
            last_stage: f^4, (B, C_4, S_4, S_4).

        Returns:
            Embeddings, (B, E), not normalized.

        Raises:
            RuntimeError: If the network has no head of its own.
        """
        if self.embed is None:
            raise RuntimeError(f"This {type(self).__name__} has no head: apply the teacher's head to its last stage.")
        return self.embed(last_stage)

    def drop_head(self) -> None:
        """Remove the head. If another head reads the last stage map, its parameters would never be trained."""
        self.embed = None
        self.embedding_size = None

    def forward(self, x: Tensor) -> Tensor:
        """Embed faces.

        Args:
            x: Faces, (B, input_channels, input_size, input_size), RGB in [-1, 1] first.

        Returns:
            Embeddings, (B, E), not normalized.

        Raises:
            ValueError: If the faces have another size.
            RuntimeError: If the network has no head of its own.
        """
        return self.head(self.stages(x)[-1])

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError unless `x` is (B, input_channels, input_size, input_size)."""
        shape = (self.input_channels, self.input_size, self.input_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != shape:
            raise ValueError(
                f"{type(self).__name__} takes images of (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}: "
                "resize them first."
            )


def apply_stages(stages: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """Apply stages one after the other and return the output of each.

    Args:
        stages: Stages of a backbone, from the input on.
        x: Input of the first stage.

    Returns:
        One map for each stage.
    """
    maps = []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return maps


def halved_sizes(input_size: int) -> tuple[int, int, int, int]:
    """Return the sides of the stage maps of a network that halves its input four times (/2, /4, /8, /16).

    Args:
        input_size: Side of the input in pixels.

    Returns:
        Sides of the four stage maps in pixels.

    Raises:
        ValueError: If `input_size` is not a positive multiple of 16.

    Example:
        >>> halved_sizes(112)
        (56, 28, 14, 7)
    """
    if input_size < 16 or input_size % 16:
        raise ValueError(f"The input size of a backbone must be a positive multiple of 16, got {input_size}.")
    return (input_size // 2, input_size // 4, input_size // 8, input_size // 16)
