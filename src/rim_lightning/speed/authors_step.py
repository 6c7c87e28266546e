"""The training step of the authors' code, whose speed is compared with ours."""

from typing import Any

from torch import nn

from rim_lightning.functional.gradient import scale_gradient
from rim_lightning.training.phases import domain_distance, hallucination_terms, prepare_step
from rim_lightning.training.rim_module import RIMModule
from rim_lightning.types import FaceBatch


class FiveBackwards(RIMModule):
    """RIM with the authors' step for the hallucination network.

    One forward pass, then a backward pass for each of the five losses, and all optimizers afterwards.

    Args:
        restricted: True if each loss sends gradient only to the network it trains; the pixel loss trains all of them.
            If False, every loss sends gradient through everything.
        arguments: Arguments of `RIMModule`.

    Raises:
        ValueError: If a stage is not "fhn", the only one with this step.
    """

    def __init__(self, restricted: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.restricted = restricted
        for stage in self.schedule.stages:
            if stage.name != "fhn":
                raise ValueError(
                    f"system=authors_step is a step of the stage fhn, not of {stage.name}: set "
                    "schedule.stages.0.name=fhn."
                )

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train on one batch with five backward passes, each of which keeps the graph."""
        fhn = self.rim.fhn
        probes, targets = self.training_probes(batch.hr), self.training_targets(batch)
        step = prepare_step(self.rim, self.objective, batch, probes, "fhn", together=True, targets=targets)
        trained_by: dict[str, nn.Module] = {
            "coarse": fhn.coarse,
            "landmark": fhn.generator.landmark_path,
            "parsing": fhn.generator.parsing_path or fhn.generator.landmark_path,
            "domain": self.rim.discriminator,
            "pixel": fhn,
        }
        terms = hallucination_terms(self.rim, self.objective, step)
        features = [priors.features for priors in (step.output.priors, step.output.hr_priors) if priors is not None]
        coarse, hr = (scale_gradient(maps, -1.0) for maps in features)  # reversal: θ_d ascends, θ_G descends
        terms["domain"] = -domain_distance(self.rim, self.objective, coarse, hr)
        active = self.active_phases()
        for _, optimizer, _ in active:
            optimizer.zero_grad()
        for name, network in trained_by.items():
            inputs = list(network.parameters()) if self.restricted else None
            self.manual_backward(terms[name], retain_graph=True, inputs=inputs)
        for _, optimizer, scheduler in active:
            optimizer.step()
            scheduler.step()
        self.keep_terms("hallucination", terms)
        self.log_figures()
