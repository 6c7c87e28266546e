"""Hallucination networks without priors: the systems that RIM is compared with, by pixels or with an adversary."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.resize import reduce
from rim_lightning.losses.adversarial import RelativisticAdversarialLoss
from rim_lightning.losses.perceptual import PerceptualLoss
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.compared.esrgan import Discriminator
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.teacher_weights import fill_backbone
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.phases import Phase
from rim_lightning.types import FaceBatch


class SuperResolutionModule(PhasedModule):
    """Trains a `SuperResolver` by its pixels (SRCNN, VDSR, LapSRN, the coarse net alone).

    The loss is the sum over the network's levels of the pixel loss to the sharp face reduced to that size.

    Args:
        super_resolver: {"name": ..., arguments of that network}.
        pixel: the loss.
        lr_size, optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed: see `PhasedModule`.

    Raises:
        ValueError: as `PhasedModule`.
    """

    architecture = "super_resolver"
    stages = ("pixel",)
    phases = (Phase("hallucination", ("super_resolver",), stages, None),)
    super_resolver: SuperResolver

    def __init__(
        self,
        super_resolver: Mapping[str, Any],
        pixel: PixelLoss,
        lr_size: int,
        optimizers: Mapping[str, Callable[[Iterable[nn.Parameter]], Optimizer]],
        stages: Sequence[Mapping[str, Any]],
        probe_sizes: Mapping[str, Any],
        degradation: str,
        warmup: float,
        final: float,
        clip: float | None,
        seed: int,
    ):
        super().__init__(
            super_resolver, lr_size, optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed
        )
        self.pixel = pixel
        self.quality = nn.ModuleDict({name: ImageQuality("y") for name in ("sr", "bicubic")})

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """One batch."""
        ((phase, optimizer, scheduler),) = self.active_phases()
        loss = self.pixel_loss(self.super_resolver.levels(self.training_probes(batch.hr)), batch.hr)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        scheduler.step()
        self.keep_terms(phase.name, {"loss": loss})
        self.log_figures()

    def pixel_loss(self, levels: list[Tensor], hr: Tensor) -> Tensor:
        """Faces at growing sizes (B, 3, S_k, S_k) and the sharp ones (B, 3, S, S) -> scalar."""
        targets = [reduce(hr, face.shape[-1], quantize=False) for face in levels[:-1]] + [hr]
        return torch.stack([self.pixel(face, target) for face, target in zip(levels, targets, strict=True)]).sum()

    def faces(self, enlarged: Tensor) -> dict[str, Tensor]:
        """The hallucinated face."""
        return {"SR": self.super_resolver(enlarged)}

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Image quality at the nominal probe size."""
        enlarged = synthesize_probe(batch.hr, torch.full((len(batch.hr),), self.lr_size))
        for name, image in (("sr", self.super_resolver(enlarged)), ("bicubic", enlarged)):
            self.quality[name].update(image, batch.hr, batch.index)

    def on_validation_epoch_end(self) -> None:
        """Log and reset the metrics; `val/psnr_gain` is dB of Y-PSNR above bicubic."""
        figures = {
            f"val/{name}/{key}_y": value
            for name, metric in self.quality.items()
            for key, value in metric.compute().items()
        }
        self.log_dict(figures | {"val/psnr_gain": figures["val/sr/psnr_y"] - figures["val/bicubic/psnr_y"]})
        for metric in self.quality.values():
            metric.reset()


class AdversarialSuperResolutionModule(SuperResolutionModule):
    """Trains a `SuperResolver` by its pixels, then against a relativistic discriminator as well (ESRGAN, arXiv
    1809.00219, Eq 3), with a perceptual term from a frozen face network.

    Args:
        discriminator: arguments of `Discriminator`.
        perceptual: the frozen face network, {"name": ..., arguments of that backbone}.
        teacher_weights: see `RIMModule`; of that network.
        weights: of "pixel", "perceptual" and "adversarial" in the stage "adversarial"; the paper: 1e-2, 1, 5e-3.
    """

    stages = ("pixel", "adversarial")
    phases = (
        Phase("discriminator", ("discriminator",), ("adversarial",), None),
        Phase("hallucination", ("super_resolver",), stages, None),
    )

    def __init__(
        self,
        discriminator: Mapping[str, Any],
        perceptual: Mapping[str, Any],
        teacher_weights: Mapping[str, str] | None,
        weights: Mapping[str, float],
        **others: Any,
    ):
        super().__init__(**others)
        if set(weights) != {"pixel", "perceptual", "adversarial"}:
            raise ValueError("The weights of an adversarial super_resolver are pixel, perceptual and adversarial.")
        self.discriminator = Discriminator(**discriminator)
        network = build_backbone(**perceptual)
        if teacher_weights is not None:
            fill_backbone(network, "system.perceptual", **teacher_weights)
        self.perceptual = PerceptualLoss(FrozenTeacher(network))
        self.adversarial = RelativisticAdversarialLoss()
        self.weights = weights

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """One batch: in the stage "adversarial" the discriminator steps first."""
        if self.stage == "pixel":
            super().training_step(batch, batch_idx)
            return
        (_, of_discriminator, its_schedule), (_, optimizer, scheduler) = self.active_phases()
        levels = self.super_resolver.levels(self.training_probes(batch.hr))
        with self.toggled_optimizer(of_discriminator):
            loss = self.adversarial.discriminator(self.discriminator(batch.hr), self.discriminator(levels[-1].detach()))
            of_discriminator.zero_grad()
            self.manual_backward(loss)
            of_discriminator.step()
        self.keep_terms("discriminator", {"loss": loss})
        with self.toggled_optimizer(optimizer):
            with torch.no_grad():
                real = self.discriminator(batch.hr)
            terms = {
                "pixel": self.pixel_loss(levels, batch.hr),
                "perceptual": self.perceptual(levels[-1], batch.hr),
                "adversarial": self.adversarial.generator(real, self.discriminator(levels[-1])),
            }
            terms["loss"] = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
            optimizer.zero_grad()
            self.manual_backward(terms["loss"])
            optimizer.step()
        self.keep_terms("hallucination", terms)
        its_schedule.step()
        scheduler.step()
        self.log_figures()
