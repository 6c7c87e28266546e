"""The face hallucination network (FHN): coarse SR, three paths, feature integrator."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.networks.hallucination.blocks import RGB_START, Pyramid, scale_gradient, scale_weight
from rim_lightning.networks.hallucination.coarse import CoarseSR
from rim_lightning.networks.hallucination.paths import Priors, TriPathGenerator


class Hallucination(NamedTuple):
    """Output of the FHN.

    Attributes:
        coarse: (B, 3, S, S), I_c, RGB around [-1, 1], not clipped.
        sr: (B, 3, S, S), I_sr, likewise.
        priors: of the coarse face; None where only that was made.
        hr_priors: of the sharp face; None where none was given.
    """

    coarse: Tensor
    sr: Tensor
    priors: Priors | None
    hr_priors: Priors | None


class HallucinationNetwork(nn.Module):
    """FHN.

    ::

        enlarged probe ─ Gθc ─► I_c ─┐
                                     ├─ (Gθf ∥ Gθl ∥ Gθp) ─► F(I_c) ─ Dθi ─► I_sr     (plus I_c if `residual`)
        HR (training only) ──────────┘                   └─► F(I_hr)  ─► domain discriminator

    Args:
        schemes: landmark scheme -> number of points.
        coarse, generator, integrator: arguments of `CoarseSR`, `TriPathGenerator` and (the integrator Dθi) `Pyramid`.
        coarse_gradient: "full": the losses of the paths and the integrator reach Gθc, as Eq 1 says; "pixel_only": Gθc
            learns from its own pixel loss alone, as in the authors' code.
        prior_pixel_gradient: factor of the gradient that L_pixel sends into the prior paths (0.1 in the authors' code).
        residual: add I_c to the integrator's output.
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
    ):
        super().__init__()
        if coarse_gradient not in ("full", "pixel_only"):
            raise ValueError(f'coarse_gradient is "full" or "pixel_only", got "{coarse_gradient}".')
        self.coarse = CoarseSR(**coarse)
        self.generator = TriPathGenerator(schemes, **generator)
        self.integrator = Pyramid(self.generator.channels, **integrator)
        self.coarse_gradient = coarse_gradient
        self.prior_pixel_gradient = prior_pixel_gradient
        self.residual = residual
        if residual:
            scale_weight(self.integrator.to_rgb, RGB_START)

    def forward(self, enlarged: Tensor, hr: Tensor | None = None) -> Hallucination:
        """Probe enlarged to (B, 3, S, S) and, in training, its sharp face hr (B, 3, S, S); RGB in [-1, 1].

        Coarse and sharp faces go through the paths as one batch of 2B.
        """
        coarse = self.coarse(enlarged)
        seen = coarse.detach() if self.coarse_gradient == "pixel_only" else coarse
        if hr is None:
            priors, hr_priors = self.generator(seen), None
        else:
            priors, hr_priors = self.generator(torch.cat([seen, hr])).split([len(seen), len(hr)])
        sr = self.integrator(self._integrator_input(priors.features))
        return Hallucination(coarse, seen + sr if self.residual else sr, priors, hr_priors)

    def _integrator_input(self, features: Tensor) -> Tensor:
        if self.prior_pixel_gradient == 1:
            return features
        split = [self.generator.global_width, features.shape[1] - self.generator.global_width]
        shared, priors = features.split(split, dim=1)
        return torch.cat([shared, scale_gradient(priors, self.prior_pixel_gradient)], dim=1)
