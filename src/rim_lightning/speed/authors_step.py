"""rim_lightning.speed.authors_step."""

from torch import nn

from rim_lightning.networks.hallucination.blocks import scale_gradient
from rim_lightning.training.phases import domain_distance, hallucination_terms, prepare_step
from rim_lightning.training.rim_module import RIMModule
from rim_lightning.types import FaceBatch

REFERENCES = ("five_backwards", "five_restricted")


class FiveBackwards(RIMModule):
    """The step of the authors' code, to compare with: one forward, then a backward for each of the five losses of the
    hallucination network, and all optimizers afterwards. Only for the stage `fhn`.

    `restricted`: each loss sends gradient only to the network it trains, the pixel loss to all of them.
    """

    restricted: bool

    @classmethod
    def of(cls, module: RIMModule, restricted: bool) -> "FiveBackwards":
        """The same module with that step."""
        module.__class__ = cls  # another step over the same weights, optimizers and logs; a copy would need all of them
        module.restricted = restricted
        return module

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Five retained backwards."""
        fhn = self.rim.fhn
        step = prepare_step(self.rim, self.objective, batch, self.training_probes(batch.hr), "fhn", together=True)
        own: dict[str, nn.Module] = {
            "coarse": fhn.coarse,
            "landmark": fhn.generator.landmark_path,
            "parsing": fhn.generator.parsing_path or fhn.generator.landmark_path,
            "domain": self.rim.discriminator,
        }
        terms = hallucination_terms(self.rim, self.objective, step)
        features = (priors.features for priors in (step.output.priors, step.output.hr_priors))
        terms["domain"] = -domain_distance(self.rim, self.objective, *(scale_gradient(part, -1.0) for part in features))
        optimizers = self.optimizers()[:2]
        for optimizer in optimizers:
            optimizer.zero_grad()
        for name, network in {**own, "pixel": fhn}.items():
            inputs = list(network.parameters()) if self.restricted else None
            self.manual_backward(terms[name], retain_graph=True, inputs=inputs)
        for optimizer in optimizers:
            optimizer.step()
        self.keep_terms("hallucination", terms)
        self.log_figures()
