"""The face hallucination network (FHN): coarse super-resolution, three paths, feature integrator."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from rim_lightning.functional.consistency import consistent_faces
from rim_lightning.functional.gradient import scale_gradient
from rim_lightning.networks.hallucination.blocks import RGB_START, Pyramid, scale_weight
from rim_lightning.networks.hallucination.coarse import CoarseFaces, CoarseSR
from rim_lightning.networks.hallucination.components import ComponentAttention, attention_maps, count_maps, on_grid
from rim_lightning.networks.hallucination.paths import Priors, TriPathGenerator
from rim_lightning.networks.probe_size import required_sizes, with_size

CoarseGradient = Literal["full", "pixel_only", "trunk"]
"""Which losses reach the coarse net, see `HallucinationNetwork`."""

IntegratorInput = Literal["paths", "trunk", "both"]
"""Features that the integrator reads, see `HallucinationNetwork`."""

Residual = Literal["coarse", "probe", "none"]
"""What the output of the integrator is added to."""


class Turn(NamedTuple):
    """A turn of paths and integrator.

    Attributes:
        sr: Hallucinated faces, (B, 3, S, S), RGB around [-1, 1], not clipped.
        priors: Priors that the integrator read.
    """

    sr: Tensor
    priors: Priors


class Hallucination(NamedTuple):
    """Output of the face hallucination network.

    Attributes:
        coarse: Coarse faces I_c, (B, 3, S, S), RGB around [-1, 1], not clipped.
        sr: Hallucinated faces I_sr, (B, 3, S, S), RGB around [-1, 1], not clipped.
        priors: Priors of the coarse faces; after several turns, of the faces of the turn before the last. None if only
            `coarse` was computed.
        hr_priors: Priors of the sharp faces. None without sharp faces.
        earlier: Turns before the last, the first one first.
        rebuilt: Faces that the integrator makes of the features of the sharp faces, (B, 3, S, S), with gradient into
            paths and integrator alone. None unless requested.
    """

    coarse: Tensor
    sr: Tensor
    priors: Priors | None
    hr_priors: Priors | None
    earlier: tuple[Turn, ...] = ()
    rebuilt: Tensor | None = None


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
            learns from its own pixel loss alone, as in the authors' code. "trunk": the paths read a detached I_c, and
            what the integrator learns reaches Gθc through the features of its trunk.
        prior_pixel_gradient: Factor of the gradient that the integrator sends into the prior paths (0.1 in the authors'
            code); 0 stops it.
        residual: What the output of the integrator is added to: "coarse" or True, I_c; "probe", the enlarged probe;
            "none" or False, nothing.
        size_input: Read the size of the probe as a fourth channel beside the RGB of the probe, of I_c and of sharp
            faces, which have the size S. Its weights start at zero.
        lr_size: Nominal side of a probe in pixels; needed with `size_input`.
        integrator_input: "paths": the integrator reads F(I_c), as in the paper. "trunk": it reads the features of the
            coarse net instead, on the grid of their first level. "both": it reads both, on that grid.
        attention: Scale and shift the features of the integrator by maps of the components of the face, made of
            heatmaps and parsing (`ComponentAttention`).
        from_zero: Start the RGB layer of the integrator at zero, so that I_sr starts as the residual.
        turns: Number of times that paths and integrator are applied with the same weights. From the second turn on
            the paths read the detached face of the turn before.
        consistency: Correct I_sr so that, reduced bicubically to the size of the probe, it is the probe again
            (`consistent_faces`). Probes with noise are not what a reduction of the face is.

    Raises:
        ValueError: If a choice is unknown, or `size_input` lacks the nominal size, or `attention` the components of a
            scheme, or there is no turn.
    """

    def __init__(  # noqa: PLR0913  every argument stands in checkpoints, which could not be loaded without it
        self,
        schemes: Mapping[str, int],
        coarse: Mapping[str, Any],
        generator: Mapping[str, Any],
        integrator: Mapping[str, Any],
        coarse_gradient: CoarseGradient = "full",
        prior_pixel_gradient: float = 1.0,
        residual: bool | Residual = True,
        size_input: bool = False,
        lr_size: int | None = None,
        integrator_input: IntegratorInput = "paths",
        attention: bool = False,
        from_zero: bool = False,
        turns: int = 1,
        consistency: bool = False,
    ) -> None:
        super().__init__()
        _check_choice("coarse_gradient", coarse_gradient, get_args(CoarseGradient))
        _check_choice("integrator_input", integrator_input, get_args(IntegratorInput))
        residual = ("coarse" if residual else "none") if isinstance(residual, bool) else residual
        self.residual: Residual = residual
        _check_choice("residual", self.residual, get_args(Residual))
        if size_input and lr_size is None:
            raise ValueError("A network that takes the size of the probe needs its nominal size: give lr_size.")
        if turns < 1:
            raise ValueError(f"The network has {turns} turns of paths and integrator: give 1 or more.")
        self.size_input, self.lr_size = size_input, lr_size
        self.coarse_gradient, self.prior_pixel_gradient = coarse_gradient, prior_pixel_gradient
        self.integrator_input, self.turns, self.consistency = integrator_input, turns, consistency
        self.coarse = CoarseSR(**coarse, size_input=size_input)
        self.generator = TriPathGenerator(schemes, **generator, size_input=size_input)
        trunk = self.coarse.trunk_width
        channels = {"paths": self.generator.channels, "trunk": trunk, "both": self.generator.channels + trunk}
        attend = partial(ComponentAttention, count_maps(schemes)) if attention else None
        self.integrator = Pyramid(channels[integrator_input], **integrator, attention=attend)
        if from_zero or self.residual != "none":
            scale_weight(self.integrator.to_rgb, 0.0 if from_zero else RGB_START)

    def forward(
        self, enlarged: Tensor, sizes: Tensor | None = None, hr: Tensor | None = None, rebuild: bool = False
    ) -> Hallucination:
        """Hallucinate faces, and in training also compute the priors of the sharp faces.

        Coarse and sharp faces pass the paths as one batch of 2B.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,). Only a network with `size_input` or
                `consistency` reads it, and refuses to work without it.
            hr: Their sharp faces, (B, 3, S, S), RGB in [-1, 1]. None outside training.
            rebuild: True to compute `rebuilt` too, which needs the sharp faces.

        Returns:
            Faces and priors. `hr_priors` is None if `hr` is.
        """
        coarse, trunk = self._coarse(enlarged, sizes)  # (B, 3, S, S), (B, C, h, h)
        if self.coarse_gradient == "pixel_only":
            trunk = trunk.detach()
        face = coarse if self.coarse_gradient == "full" else coarse.detach()
        base = {"coarse": face, "probe": enlarged, "none": None}[self.residual]
        turns: list[Turn] = []
        hr_priors: Priors | None = None
        for turn in range(self.turns):
            read = self.sized(face, sizes)  # (B, 3, S, S), or (B, 4, S, S)
            if hr is None or turn > 0:
                priors = self.generator(read)
            else:
                sharp = torch.full((len(hr),), hr.shape[-1], device=hr.device)
                both = torch.cat([read, self.sized(hr, sharp)])  # (2B, 3, S, S), or (2B, 4, S, S)
                priors, hr_priors = self.generator(both).split([len(read), len(hr)])
            sr = self._integrate(base, trunk, priors)
            if self.consistency:
                sr = consistent_faces(sr, enlarged, required_sizes(sizes))
            turns.append(Turn(sr, priors))
            face = sr.detach()
        rebuilt = None
        if rebuild and hr_priors is not None:
            anchor = None if base is None else base.detach()
            rebuilt = self._integrate(anchor, trunk.detach(), hr_priors, prior_gradient=1.0)
        return Hallucination(coarse, *turns[-1], hr_priors, tuple(turns[:-1]), rebuilt)

    def coarse_faces(self, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Return the coarse faces I_c alone, (B, 3, S, S); arguments as for `forward`."""
        return self._coarse(enlarged, sizes).faces

    def sized(self, images: Tensor, sizes: Tensor | None) -> Tensor:
        """Return what the networks read of images: with `size_input` (B, 4, S, S), see `with_size`."""
        if self.lr_size is None or not self.size_input:
            return images
        return with_size(images, sizes, self.lr_size)

    def integrator_inputs(
        self, trunk: Tensor, priors: Priors, prior_gradient: float | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return what the integrator reads.

        Args:
            trunk: Features of the coarse net, (B, C, h, h).
            priors: Output of the paths.
            prior_gradient: Factor of the gradient into the prior paths; None for `prior_pixel_gradient`.

        Returns:
            Its features (B, C, h, h) and its maps (B, K, g, g), None without attention. The gradient into the prior
            paths is scaled.
        """
        scale = self.prior_pixel_gradient if prior_gradient is None else prior_gradient
        maps = None
        if self.integrator.attention is not None:
            maps = _scaled(attention_maps(priors), scale)
        if self.integrator_input == "trunk":
            return trunk, maps
        features = self._path_features(priors.features, scale)
        if self.integrator_input == "both":
            features = torch.cat([trunk, on_grid(features, trunk.shape[-1])], dim=1)
        return features, maps

    def _coarse(self, enlarged: Tensor, sizes: Tensor | None) -> CoarseFaces:
        faces: CoarseFaces = self.coarse(self.sized(enlarged, sizes))
        return faces

    def _integrate(
        self, base: Tensor | None, trunk: Tensor, priors: Priors, prior_gradient: float | None = None
    ) -> Tensor:
        """Faces (B, 3, S, S) that the integrator makes of features and priors, see `integrator_inputs`."""
        faces: Tensor = self.integrator(*self.integrator_inputs(trunk, priors, prior_gradient))
        return faces if base is None else base + faces

    def _path_features(self, features: Tensor, scale: float) -> Tensor:
        """Return the features (B, C, g, g) of the paths, with a scaled gradient into the prior paths."""
        if scale == 1:
            return features
        global_width = self.generator.global_width
        global_features, prior_features = features.split([global_width, features.shape[1] - global_width], dim=1)
        return torch.cat([global_features, _scaled(prior_features, scale)], dim=1)


def _scaled(x: Tensor, scale: float) -> Tensor:
    """Return the tensor with a scaled gradient."""
    if scale == 1:
        return x
    return scale_gradient(x, scale) if scale else x.detach()


def _check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f'{argument} must be one of {", ".join(choices)}, got "{value}".')
