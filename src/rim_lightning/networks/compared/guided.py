"""A recognizer without hallucination: one network reads the probe, itself or a guide reads the gallery."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher


class GuidedRecognizer(nn.Module):
    """Recognizer that RIM is compared with, trained with or without a guide.

    Args:
        learner: Network that reads probes, and without a guide the gallery too.
        guide: Network that reads the gallery. None without a guide.
    """

    def __init__(self, learner: Backbone, guide: Backbone | None = None) -> None:
        super().__init__()
        self.learner = learner
        self.guide = guide

    def embed_gallery(self, faces: Tensor) -> Tensor:
        """Embed sharp faces by the guide, or by the learner without a guide.

        Args:
            faces: Aligned faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Embeddings, (B, E), not normalized.
        """
        network = self.learner if self.guide is None else self.guide
        return network(resized(faces, network.input_size))

    def embed_probe(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Embed probes by the learner.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,). The learner does not read it.

        Returns:
            Embeddings, (B, E), not normalized.
        """
        return self.learner(resized(enlarged, self.learner.input_size))


def build_guided_recognizer(
    learner: Mapping[str, Any], guide: Mapping[str, Any] | None = None, guide_learns: bool = False
) -> GuidedRecognizer:
    """Build a recognizer with random weights.

    Args:
        learner: Name and arguments of its backbone, {"name": ..., ...}.
        guide: Name and arguments of its backbone. None without a guide.
        guide_learns: Train the guide too. Otherwise it is a frozen teacher.

    Returns:
        The recognizer, in train mode.

    Raises:
        ValueError: If the name of a backbone is unknown.
    """
    if guide is None:
        return GuidedRecognizer(build_backbone(**learner))
    guide_network = build_backbone(**guide)
    return GuidedRecognizer(build_backbone(**learner), guide_network if guide_learns else FrozenTeacher(guide_network))
