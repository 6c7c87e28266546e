"""The frozen teacher NθT: nothing in training moves it, yet gradient passes through it."""

from torch import Tensor

from rim_lightning.networks.backbones.base import Backbone


class FrozenTeacher(Backbone):
    """A backbone without trainable parameters that stays in eval mode whatever its parents do.

    Gradient still flows from its output to its input: Eq 11 and Eq 12 read the student out through its head, and an
    identity term reaches the hallucinated face through its stages. Wrap with `torch.no_grad()` where it need not.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.input_size = backbone.input_size
        self.stage_channels = backbone.stage_channels
        self.stage_sizes = backbone.stage_sizes
        self.embedding_size = backbone.embedding_size
        self.eval()

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Stay in eval mode: in train mode the batch norms' statistics would move with every forward pass."""
        return super().train(False)

    def stages(self, x: Tensor) -> list[Tensor]:
        """x: (B, 3, input_size, input_size), RGB in [-1, 1] -> the four stage maps f^1..f^4, (B, C_k, S_k, S_k)."""
        return self.backbone.stages(x)

    def head(self, last_stage: Tensor) -> Tensor:
        """f^4, (B, C_4, S_4, S_4) -> embedding (B, E), NOT normalized."""
        return self.backbone.head(last_stage)
