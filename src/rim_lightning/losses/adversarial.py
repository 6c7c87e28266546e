"""Relativistic average adversarial loss (arXiv 1807.00734; ESRGAN, arXiv 1809.00219, Eq 1 and 2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.precision import full_precision


class RelativisticAdversarialLoss(nn.Module):
    """Is a real face more real than the average fake, and a fake less real than the average real face?

    With D(a, b) = sigmoid(C(a) − mean C(b)), the means over the whole batch of all ranks. Each side is the SUM of its
    two terms, as in the equations; the authors' code halves it.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−E log D(real, fake) − E log(1 − D(fake, real)), Eq 1: scalar, equal on all ranks, 2 log 2 at equal logits.

        Args:
            real, fake: this rank's logits C, (B,) each, the same B on every rank. To keep the gradient from the
                generator, judge detached faces.
        """
        real, fake = gather_batch(full_precision(real)), gather_batch(full_precision(fake))
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−E log(1 − D(real, fake)) − E log D(fake, real), Eq 2; arguments and result as for `discriminator`."""
        return self.discriminator(fake, real)
