"""Relativistic average adversarial loss (arXiv 1807.00734; ESRGAN, arXiv 1809.00219, Eq 1 and 2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.precision import full_precision


class RelativisticAdversarialLoss(nn.Module):
    """Compare each real face with the average fake, and each fake with the average real face.

    D(a, b) = sigmoid(C(a) − mean C(b)), with means over the whole batch of all ranks. Both losses are the SUM of two
    terms, as in the equations; the authors' code halves it.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the loss of the discriminator, −E log D(real, fake) − E log(1 − D(fake, real)) (Eq 1).

        To keep the gradient from the generator, compute `fake` from detached faces.

        Args:
            real: Logits C of this rank's real faces, (B,), the same B on every rank.
            fake: Logits C of this rank's hallucinated faces, (B,).

        Returns:
            Scalar ≥ 0, equal on all ranks; 2 log 2 if all logits are equal.
        """
        real, fake = gather_batch(full_precision(real)), gather_batch(full_precision(fake))
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the loss of the generator, −E log(1 − D(real, fake)) − E log D(fake, real) (Eq 2).

        Args:
            real: Logits C of this rank's real faces, (B,), the same B on every rank.
            fake: Logits C of this rank's hallucinated faces, (B,).

        Returns:
            Scalar ≥ 0, equal on all ranks; 2 log 2 if all logits are equal.
        """
        return self.discriminator(fake, real)
