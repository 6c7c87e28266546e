"""What every face-recognition network offers: four stage maps and an embedding."""

from torch import Tensor, nn


class Backbone(nn.Module):
    """Base of the recognition networks (teacher NθT, student NθS, assistant NθA).

    A subclass defines `stages` and sets the attributes below in its constructor. Images are RGB in [-1, 1]; the channel
    order and scaling a published checkpoint was trained with are its subclass's private business.

    Attributes:
        input_size: side of the square input in pixels; other sizes are refused, resizing is the caller's decision.
        stage_channels: channels of the four stage maps.
        stage_sizes: side of the four (square) stage maps in pixels; 56, 28, 14, 7 for a 112 input.
        embedding_size: length E of the embedding; None for a network without a head of its own.
        embed: the head, (B, C_4, S_4, S_4) -> (B, E), or None.
    """

    input_size: int
    stage_channels: tuple[int, int, int, int]
    stage_sizes: tuple[int, int, int, int]
    embedding_size: int | None
    embed: nn.Module | None

    def stages(self, x: Tensor) -> list[Tensor]:
        """x: (B, 3, input_size, input_size), RGB in [-1, 1] -> the four stage maps f^1..f^4, (B, C_k, S_k, S_k)."""
        raise NotImplementedError

    def head(self, last_stage: Tensor) -> Tensor:
        """f^4, (B, C_4, S_4, S_4) -> embedding (B, E), NOT normalized.

        Raises:
            RuntimeError: the network has no head of its own.
        """
        if self.embed is None:
            raise RuntimeError(f"This {type(self).__name__} has no head: apply the teacher's head to its last stage.")
        return self.embed(last_stage)

    def drop_head(self) -> None:
        """Remove the head: a student read out by the teacher's head must not own parameters nothing ever moves."""
        self.embed = None
        self.embedding_size = None

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, input_size, input_size), RGB in [-1, 1] -> embedding (B, E), NOT normalized."""
        return self.head(self.stages(x)[-1])

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError unless x is (B, 3, input_size, input_size)."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, self.input_size, self.input_size):
            raise ValueError(
                f"{type(self).__name__} takes images of (B, 3, {self.input_size}, {self.input_size}), got "
                f"{tuple(x.shape)}: resize them first."
            )


def halved_sizes(input_size: int) -> tuple[int, int, int, int]:
    """Sides of the stage maps of a network that halves its input four times (/2, /4, /8, /16).

    Raises:
        ValueError: `input_size` is not a positive multiple of 16.
    """
    if input_size < 16 or input_size % 16:
        raise ValueError(f"The input size of a backbone must be a positive multiple of 16, got {input_size}.")
    return (input_size // 2, input_size // 4, input_size // 8, input_size // 16)
