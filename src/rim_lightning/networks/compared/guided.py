"""A recognizer without hallucination: one network reads the probe, itself or a guide reads the gallery."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone, with_further_channels
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.backbones.twins import MirrorTwins
from rim_lightning.networks.probe_size import with_size


class GuidedRecognizer(nn.Module):
    """Recognizer that RIM is compared with, trained with or without a guide.

    Args:
        learner: Network that reads probes, and without a guide the gallery too.
        guide: Network that reads the gallery. None without a guide.
        size_input: The learner reads the size of the probe in a channel behind RGB (`with_size`), whose weights start
            at zero.
        lr_size: Nominal side of a probe in pixels; needed with `size_input`.

    Raises:
        ValueError: If the nominal size is needed and missing.
    """

    def __init__(
        self, learner: Backbone, guide: Backbone | None = None, size_input: bool = False, lr_size: int | None = None
    ) -> None:
        super().__init__()
        if size_input and lr_size is None:
            raise ValueError("A network that takes the size of the probe needs its nominal size: give lr_size.")
        self.size_input, self.lr_size = size_input, lr_size
        self.learner = learner
        self.guide = guide

    def embed_gallery(self, faces: Tensor) -> Tensor:
        """Embed sharp faces by the guide, or by the learner without a guide.

        Args:
            faces: Aligned faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Embeddings, (B, E), not normalized.
        """
        if self.guide is not None:
            return self.guide(resized(faces, self.guide.input_size))
        return self.embed_probe(faces, torch.full((len(faces),), faces.shape[-1]))

    def learner_input(self, enlarged: Tensor, sizes: Tensor | None) -> Tensor:
        """Return what the learner reads of probes, (B, 3 or 4, T, T); arguments as for `embed_probe`."""
        faces = resized(enlarged, self.learner.input_size)
        return faces if self.lr_size is None or not self.size_input else with_size(faces, sizes, self.lr_size)

    def embed_probe(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Embed probes by the learner.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,). Only a network with `size_input` reads it,
                and refuses to work without it.

        Returns:
            Embeddings, (B, E), not normalized.
        """
        return self.learner(self.learner_input(enlarged, sizes))


def build_guided_recognizer(
    learner: Mapping[str, Any],
    guide: Mapping[str, Any] | None = None,
    guide_learns: bool = False,
    size_input: bool = False,
    lr_size: int | None = None,
    twins: bool = False,
) -> GuidedRecognizer:
    """Build a recognizer with random weights.

    Args:
        learner: Name and arguments of its backbone, {"name": ..., ...}.
        guide: Name and arguments of its backbone. None without a guide.
        guide_learns: Train the guide too. Otherwise it is a frozen teacher.
        size_input: See `GuidedRecognizer`.
        lr_size: See `GuidedRecognizer`.
        twins: The learner is two such backbones, of which the second reads the mirrored face (`MirrorTwins`).

    Returns:
        The recognizer, in train mode.

    Raises:
        ValueError: If the name of a backbone is unknown.
    """
    guide_network = None if guide is None else build_backbone(**guide)
    learner = with_further_channels(learner, int(size_input))
    learner_network = build_backbone(**learner)
    if twins:
        learner_network = MirrorTwins(learner_network, build_backbone(**learner))
    if guide_network is not None and not guide_learns:
        guide_network = FrozenTeacher(guide_network)
    return GuidedRecognizer(learner_network, guide_network, size_input, lr_size)
