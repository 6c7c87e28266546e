"""RIM as one network: hallucination, domain discriminator and recognition."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from rim_lightning.networks.hallucination.discriminator import DomainDiscriminator
from rim_lightning.networks.hallucination.network import HallucinationNetwork
from rim_lightning.networks.recognition import ProbeViews, RecognitionNetwork

FORMS = 4
"""Compiled forms of a part: for training and for use, with and without gradient."""


class ProbeEmbeddings(NamedTuple):
    """Faces and embeddings that one forward pass makes of B probes.

    Attributes:
        sr: Hallucinated faces I_sr, (B, 3, S, S), RGB around [-1, 1], not clipped.
        student: Embeddings of the student alone, f_S, (B, E), not normalized.
        rim: Embeddings of student and assistant together, f_S + f_A, (B, E), not normalized.
    """

    sr: Tensor
    student: Tensor
    rim: Tensor


class RIM(nn.Module):
    """Resolution Invariant Model: hallucination network, domain discriminator and recognition network.

    Every argument is a number, a string or a plain container of them. A checkpoint stores the arguments, and
    `RIM(**arguments)` rebuilds the network without any configuration.

    Args:
        hr_size: Side S of the sharp face in pixels.
        lr_size: Nominal side of the probe in pixels, S / 8 in the paper.
        schemes: Landmark scheme -> number of points.
        hallucination: Arguments of `HallucinationNetwork`.
        discriminator: Arguments of `DomainDiscriminator`.
        recognition: Arguments of `RecognitionNetwork`.

    Attributes:
        arguments: All arguments by name.
    """

    def __init__(
        self,
        hr_size: int,
        lr_size: int,
        schemes: Mapping[str, int],
        hallucination: Mapping[str, Any],
        discriminator: Mapping[str, Any],
        recognition: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.arguments = {
            "hr_size": hr_size,
            "lr_size": lr_size,
            "schemes": schemes,
            "hallucination": hallucination,
            "discriminator": discriminator,
            "recognition": recognition,
        }
        self.hr_size = hr_size
        self.lr_size = lr_size
        self.fhn = HallucinationNetwork(schemes, **hallucination, lr_size=lr_size)
        self.discriminator = DomainDiscriminator(self.fhn.generator.channels, **discriminator)
        self.hrn = RecognitionNetwork(**recognition, lr_size=lr_size, schemes=tuple(schemes))

    def embed_gallery(self, faces: Tensor) -> Tensor:
        """Embed sharp faces by the teacher.

        Args:
            faces: Aligned faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Embeddings f_T, (B, E), not normalized.
        """
        return self.hrn.gallery(faces)

    @property
    def takes_sizes(self) -> bool:
        """True if the network reads the sizes of the probes and refuses to work without them."""
        return self.fhn.size_input or self.fhn.consistency or self.hrn.size_input

    def embed_probe(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Embed probes by student and assistant.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,); ignored unless `takes_sizes`.

        Returns:
            Embeddings of f_S^K + f_A^K, (B, E), not normalized.
        """
        return self.hrn.probe(self.views(enlarged, sizes))

    def embed_by_student(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Embed probes by the student alone.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,); ignored unless `takes_sizes`.

        Returns:
            Embeddings of f_S^K, (B, E), not normalized.
        """
        return self.hrn.probe(self.views(enlarged, sizes, assistant=False), assistant=False)

    def views(self, enlarged: Tensor, sizes: Tensor | None = None, assistant: bool = True) -> ProbeViews:
        """Return what student and assistant look at. Probes are hallucinated only if one of them reads the result.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,); ignored unless `takes_sizes`.
            assistant: False if only the student takes part.
        """
        if not self.hrn.reads_sr(assistant):
            return ProbeViews(None, enlarged, sizes)
        output = self.fhn(enlarged, sizes)
        return ProbeViews(output.sr, enlarged, sizes, output.priors)

    def probe_embeddings(self, enlarged: Tensor, sizes: Tensor | None = None) -> ProbeEmbeddings:
        """Embed probes by the student alone and by student and assistant, in one forward pass.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,); ignored unless `takes_sizes`.

        Returns:
            Hallucinated faces and both embeddings. `rim` equals `embed_probe(enlarged, sizes)`.
        """
        output = self.fhn(enlarged, sizes)
        views = ProbeViews(output.sr, enlarged, sizes, output.priors)
        student, assistant = self.hrn.last_maps(views)  # (B, C, h, w) each
        return ProbeEmbeddings(output.sr, self.hrn.embed(student, None), self.hrn.embed(student, assistant))

    def compile_networks(self) -> None:
        """Apply `torch.compile` to every network in place; names and values of the weights stay.

        Backbones are compiled stage by stage, because the training step needs the output of each stage.
        """
        import torch._dynamo.config as dynamo  # takes a second

        parts: list[nn.Module] = [self.fhn.coarse, self.fhn.generator, self.fhn.integrator, self.discriminator]
        for backbone in (self.hrn.teacher.backbone, self.hrn.student.backbone, self.hrn.assistant.backbone):
            for child in backbone.children():
                parts += child if isinstance(child, nn.ModuleList) else [child]
        # Parts that are nn.Sequential share one limit of compiled forms; torch leaves those beyond it uncompiled.
        dynamo.recompile_limit = max(dynamo.recompile_limit, FORMS * len(parts))
        for part in parts:
            part.compile()
