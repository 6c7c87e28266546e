"""The face hallucination network (FHN): coarse super-resolution, three paths, feature integrator."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.networks.hallucination.blocks import RGB_START, Pyramid, scale_gradient, scale_weight
from rim_lightning.networks.hallucination.coarse import CoarseSR
from rim_lightning.networks.hallucination.paths import Priors, TriPathGenerator
from rim_lightning.networks.probe_size import with_size


class Hallucination(NamedTuple):
    """Output of the face hallucination network.

    Attributes:
        coarse: Coarse faces I_c, (B, 3, S, S), RGB around [-1, 1], not clipped.
        sr: Hallucinated faces I_sr, (B, 3, S, S), RGB around [-1, 1], not clipped.
        priors: Priors of the coarse faces. None if only `coarse` was computed.
        hr_priors: Priors of the sharp faces. None without sharp faces.
    """

    coarse: Tensor
    sr: Tensor
    priors: Priors | None
    hr_priors: Priors | None


class HallucinationNetwork(nn.Module):
    """Face hallucination network (FHN).

    ::

        enlarged probe ─ Gθc ─► I_c ─┐
                                     ├─ (Gθf ∥ Gθl ∥ Gθp) ─► F(I_c) ─ Dθi ─► I_sr     (plus I_c if `residual`)
        HR (training only) ──────────┘                   └─► F(I_hr)  ─► domain discriminator

    Args:
        schemes: Landmark scheme -> number of points.
        coarse: Arguments of `CoarseSR`, the coarse net Gθc.
        generator: Arguments of `TriPathGenerator`, the three paths.
        integrator: Arguments of `Pyramid`, the feature integrator Dθi.
        coarse_gradient: "full": the losses of the paths and the integrator reach Gθc, as Eq 1 says. "pixel_only": Gθc
            learns from its own pixel loss alone, as in the authors' code.
        prior_pixel_gradient: Factor of the gradient that L_pixel sends into the prior paths (0.1 in the authors' code).
        residual: Add I_c to the output of the integrator.
        size_input: Read the size of the probe as a fourth channel beside the RGB of the probe, of I_c and of sharp
            faces, which have the size S. Its weights start at zero.
        lr_size: Nominal side of a probe in pixels; needed with `size_input`.

    Raises:
        ValueError: If `coarse_gradient` is unknown, or `size_input` lacks the nominal size.
    """

    def __init__(
        self,
        schemes: Mapping[str, int],
        coarse: Mapping[str, Any],
        generator: Mapping[str, Any],
        integrator: Mapping[str, Any],
        coarse_gradient: Literal["full", "pixel_only"] = "full",
        prior_pixel_gradient: float = 1.0,
        residual: bool = True,
        size_input: bool = False,
        lr_size: int | None = None,
    ) -> None:
        super().__init__()
        if coarse_gradient not in ("full", "pixel_only"):
            raise ValueError(f'coarse_gradient must be "full" or "pixel_only", got "{coarse_gradient}".')
        if size_input and lr_size is None:
            raise ValueError("A network that takes the size of the probe needs its nominal size: give lr_size.")
        self.size_input = size_input
        self.lr_size = lr_size
        self.coarse = CoarseSR(**coarse, size_input=size_input)
        self.generator = TriPathGenerator(schemes, **generator, size_input=size_input)
        self.integrator = Pyramid(self.generator.channels, **integrator)
        self.coarse_gradient = coarse_gradient
        self.prior_pixel_gradient = prior_pixel_gradient
        self.residual = residual
        if residual:
            scale_weight(self.integrator.to_rgb, RGB_START)

    def forward(self, enlarged: Tensor, sizes: Tensor | None = None, hr: Tensor | None = None) -> Hallucination:
        """Hallucinate faces, and in training also compute the priors of the sharp faces.

        Coarse and sharp faces pass the paths as one batch of 2B.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,). Only a network with `size_input` reads
                it, and refuses to work without it.
            hr: Their sharp faces, (B, 3, S, S), RGB in [-1, 1]. None outside training.

        Returns:
            Faces and priors. `hr_priors` is None if `hr` is.
        """
        coarse = self.coarse_faces(enlarged, sizes)  # (B, 3, S, S)
        paths_input = coarse.detach() if self.coarse_gradient == "pixel_only" else coarse
        faces = self.sized(paths_input, sizes)  # (B, 3, S, S), or (B, 4, S, S)
        if hr is None:
            priors, hr_priors = self.generator(faces), None
        else:
            sharp = torch.full((len(hr),), hr.shape[-1], device=hr.device)
            both = torch.cat([faces, self.sized(hr, sharp)])  # (2B, 3, S, S), or (2B, 4, S, S)
            priors, hr_priors = self.generator(both).split([len(paths_input), len(hr)])
        sr = self.integrator(self._integrator_input(priors.features))  # (B, C, g, g) -> (B, 3, S, S)
        return Hallucination(coarse, paths_input + sr if self.residual else sr, priors, hr_priors)

    def coarse_faces(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Return the coarse faces I_c alone, (B, 3, S, S); arguments as for `forward`."""
        coarse: Tensor = self.coarse(self.sized(enlarged, sizes))
        return coarse

    def sized(self, images: Tensor, sizes: Tensor | None) -> Tensor:
        """Return what the networks read of images: with `size_input` (B, 4, S, S), see `with_size`."""
        if self.lr_size is None or not self.size_input:
            return images
        return with_size(images, sizes, self.lr_size)

    def _integrator_input(self, features: Tensor) -> Tensor:
        """Return the features (B, C, g, g), with a scaled gradient into the prior paths."""
        if self.prior_pixel_gradient == 1:
            return features
        global_width = self.generator.global_width
        global_features, prior_features = features.split([global_width, features.shape[1] - global_width], dim=1)
        return torch.cat([global_features, scale_gradient(prior_features, self.prior_pixel_gradient)], dim=1)
