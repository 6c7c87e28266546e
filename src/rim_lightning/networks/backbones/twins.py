"""Two networks of one kind whose embeddings are added; the second one reads the mirrored face."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone


class MirrorTwins(Backbone):
    """Two networks with weights of their own, of which the second reads the mirrored face.

    The embedding is the sum of both embeddings of length 1. Both may start with the same weights and still learn
    different things, because they see different pictures. The stage maps are those of both, one behind the other.

    Args:
        first: Network that reads faces.
        second: Network of the same shape, which reads mirrored faces.
    """

    def __init__(self, first: Backbone, second: Backbone) -> None:
        super().__init__()
        self.twins = nn.ModuleList([first, second])
        self.input_channels = first.input_channels
        self.input_size = first.input_size
        self.stage_sizes = first.stage_sizes
        channels = first.stage_channels
        self.stage_channels = (2 * channels[0], 2 * channels[1], 2 * channels[2], 2 * channels[3])
        self.embedding_size = first.embedding_size
        self.embed = None  # `head` calls those of the twins

    def members(self) -> tuple[Backbone, Backbone]:
        """Return the two networks."""
        first, second = self.twins
        assert isinstance(first, Backbone)
        assert isinstance(second, Backbone)
        return first, second

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps of both, see `Backbone.stages`."""
        first, second = self.members()
        maps = zip(first.stages(x), second.stages(x.flip(-1)), strict=True)
        return [torch.cat(pair, dim=1) for pair in maps]

    def head(self, last_stage: Tensor) -> Tensor:
        """Add the embeddings of both, see `Backbone.head`."""
        first, second = self.members()
        one, other = last_stage.chunk(2, dim=1)
        return F.normalize(first.head(one)) + F.normalize(second.head(other))
