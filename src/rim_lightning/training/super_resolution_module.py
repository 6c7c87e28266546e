"""Training of the super-resolution networks that RIM is compared with: by pixels, or with an adversary as well."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rim_lightning.evaluation.hallucination import HallucinationMetrics, hallucinate_batch
from rim_lightning.functional.resize import reduce
from rim_lightning.losses.adversarial import RelativisticAdversarialLoss
from rim_lightning.losses.perceptual import PerceptualLoss
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.compared.esrgan import Discriminator
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.teacher_weights import fill_backbone
from rim_lightning.training.phased_module import OptimizerOf, PhasedModule
from rim_lightning.training.phases import Phase
from rim_lightning.training.probes import ProbeSampling
from rim_lightning.training.schedule import Schedule
from rim_lightning.types import FaceBatch


class SuperResolutionModule(PhasedModule):
    """Trains a `SuperResolver` by its pixels (SRCNN, VDSR, LapSRN, the coarse network alone).

    The loss is the sum over the network's levels of the pixel loss to the sharp face reduced to that size.

    Args:
        super_resolver: {"name": ..., arguments of that network}.
        pixel: Loss of a face.
        optimizers: See `PhasedModule`.
        schedule: See `PhasedModule`.
        probes: See `PhasedModule`.
        clip: See `PhasedModule`.
    """

    architecture = "super_resolver"
    phases: ClassVar[Sequence[Phase]] = (Phase("hallucination", ("super_resolver",)),)
    stage_phases: ClassVar[Mapping[str, Sequence[str]]] = {"pixel": ("hallucination",)}
    validated = (
        "val/psnr_gain",
        *(f"val/{image}/{figure}_y" for image in ("sr", "bicubic") for figure in ("psnr", "ssim")),
    )
    super_resolver: SuperResolver

    def __init__(
        self,
        super_resolver: Mapping[str, Any],
        pixel: PixelLoss,
        optimizers: Mapping[str, OptimizerOf],
        schedule: Schedule,
        probes: ProbeSampling,
        clip: float | None,
    ) -> None:
        super().__init__(super_resolver, optimizers, schedule, probes, clip)
        self.pixel = pixel
        self.hallucination_metrics = HallucinationMetrics(("sr", "bicubic"), schemes=(), priors_of=())

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train on one batch."""
        ((phase, optimizer, scheduler),) = self.active_phases()
        levels = self.super_resolver.levels(*self.training_probes(batch.hr))
        loss = self.pixel_loss(levels, self.training_targets(batch).hr)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        scheduler.step()
        self.keep_terms(phase.name, {"loss": loss})
        self.log_figures()

    def pixel_loss(self, levels: list[Tensor], hr: Tensor) -> Tensor:
        """Sum the pixel losses of all levels.

        Args:
            levels: Faces of growing size, (B, 3, S_k, S_k).
            hr: Sharp faces, (B, 3, S, S).
        """
        targets = [reduce(hr, face.shape[-1], quantize=False) for face in levels[:-1]] + [hr]
        return torch.stack([self.pixel(face, target) for face, target in zip(levels, targets, strict=True)]).sum()

    def figures_of(self, stage: str) -> Sequence[str]:
        """Return image quality, see `PhasedModule.figures_of`."""
        return ("val/psnr_gain",)

    def faces(self, enlarged: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return the hallucinated faces, see `PhasedModule.faces`."""
        return {"SR": self.super_resolver(enlarged, sizes)}

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Measure the image quality at the nominal probe size."""
        self.hallucination_metrics.update(
            hallucinate_batch(self.super_resolver, batch, self.lr_size, sharp_priors=False)
        )

    def on_validation_epoch_end(self) -> None:
        """Log and reset the metrics. `val/psnr_gain` is the Y-PSNR above that of bicubic enlargement, in dB."""
        figures = {f"val/{key}": value for key, value in self.hallucination_metrics.compute().items()}
        self.log_dict(figures | {"val/psnr_gain": figures["val/sr/psnr_y"] - figures["val/bicubic/psnr_y"]})
        self.hallucination_metrics.reset()


class AdversarialSuperResolutionModule(SuperResolutionModule):
    """Trains a `SuperResolver` by its pixels, then against a relativistic discriminator as well.

    ESRGAN (arXiv 1809.00219, Eq 3), with a perceptual term from a frozen face network.

    Args:
        discriminator: Arguments of `Discriminator`.
        perceptual: The frozen face network, {"name": ..., arguments of that backbone}.
        teacher_weights: Weights of that network, {"weight_format", "path"}; None leaves them at random.
        weights: Term -> weight in the stage "adversarial", for pixel, perceptual and adversarial; the paper: 1e-2, 1,
            5e-3.
        **others: Arguments of `SuperResolutionModule`.

    Raises:
        ValueError: If the weights miss a term or name an unknown one.
    """

    phases: ClassVar[Sequence[Phase]] = (
        Phase("discriminator", ("discriminator",)),
        Phase("hallucination", ("super_resolver",)),
    )
    stage_phases: ClassVar[Mapping[str, Sequence[str]]] = {
        "pixel": ("hallucination",),
        "adversarial": ("discriminator", "hallucination"),
    }

    def __init__(
        self,
        discriminator: Mapping[str, Any],
        perceptual: Mapping[str, Any],
        teacher_weights: Mapping[str, Any] | None,
        weights: Mapping[str, float],
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if set(weights) != {"pixel", "perceptual", "adversarial"}:
            raise ValueError("The weights of an adversarial super-resolver are pixel, perceptual and adversarial.")
        self.discriminator = Discriminator(**discriminator)
        network = build_backbone(**perceptual)
        if teacher_weights is not None:
            fill_backbone(network, "system.perceptual", **teacher_weights)
        self.perceptual = PerceptualLoss(FrozenTeacher(network))
        self.adversarial = RelativisticAdversarialLoss()
        self.weights = weights

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train on one batch. In the stage "adversarial" the discriminator steps first."""
        if self.stage == "pixel":
            super().training_step(batch, batch_idx)
            return
        (_, of_discriminator, its_schedule), (_, optimizer, scheduler) = self.active_phases()
        levels, hr = self.super_resolver.levels(*self.training_probes(batch.hr)), self.training_targets(batch).hr
        with self.toggled_optimizer(of_discriminator):
            loss = self.adversarial.discriminator(self.discriminator(hr), self.discriminator(levels[-1].detach()))
            of_discriminator.zero_grad()
            self.manual_backward(loss)
            of_discriminator.step()
        self.keep_terms("discriminator", {"loss": loss})
        with self.toggled_optimizer(optimizer):
            with torch.no_grad():
                real = self.discriminator(hr)
            terms = {
                "pixel": self.pixel_loss(levels, hr),
                "perceptual": self.perceptual(levels[-1], hr),
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
