"""The frozen teacher NθT: training does not change it, but gradient passes through it."""

from torch import Tensor

from rim_lightning.networks.backbones.base import Backbone


class FrozenTeacher(Backbone):
    """A backbone without trainable parameters that stays in eval mode when its parents are set to train mode.

    Gradient still flows from its output to its input. Eq 11 and Eq 12 need this for the teacher's head on the student's
    maps, and the identity term for the hallucinated face. Call it under `torch.no_grad()` where no gradient is needed.

    Args:
        backbone: Network to freeze. It is changed in place.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.input_size = backbone.input_size
        self.stage_channels = backbone.stage_channels
        self.stage_sizes = backbone.stage_sizes
        self.embedding_size = backbone.embedding_size
        self.has_maps = backbone.has_maps
        self.eval()

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Stay in eval mode: in train mode every forward pass would update the statistics of the batch norms."""
        return super().train(False)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        return self.backbone.stages(x)

    def head(self, last_stage: Tensor) -> Tensor:
        """Make the embedding of the last stage map, see `Backbone.head`."""
        return self.backbone.head(last_stage)
