"""A recognizer without hallucination: one network reads the probe, itself or a guide reads the gallery."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher


class GuidedRecognizer(nn.Module):
    """The systems that RIM is compared with at recognition.

    Args:
        learner: reads probes, and the gallery where there is no guide.
        guide: reads the gallery; None: there is none.
    """

    def __init__(self, learner: Backbone, guide: Backbone | None = None):
        super().__init__()
        self.learner = learner
        self.guide = guide

    def embed_gallery(self, faces: Tensor) -> Tensor:
        """Sharp aligned faces (B, 3, S, S), RGB in [-1, 1] -> embeddings (B, E), not normalized."""
        network = self.learner if self.guide is None else self.guide
        return network(resized(faces, network.input_size))

    def embed_probe(self, enlarged: Tensor) -> Tensor:
        """Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1] -> embeddings (B, E), not normalized."""
        return self.learner(resized(enlarged, self.learner.input_size))


def build_guided_recognizer(
    learner: Mapping[str, Any], guide: Mapping[str, Any] | None = None, guide_learns: bool = False
) -> GuidedRecognizer:
    """A recognizer with random weights.

    Args:
        learner, guide: {"name": ..., arguments of that backbone}. guide_learns: False: the guide is a frozen teacher.
    """
    if guide is None:
        return GuidedRecognizer(build_backbone(**learner))
    network = build_backbone(**guide)
    return GuidedRecognizer(build_backbone(**learner), network if guide_learns else FrozenTeacher(network))
