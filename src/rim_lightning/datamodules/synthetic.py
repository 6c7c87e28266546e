"""Synthetic faces as a data module: the whole pipeline without any data set."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.data.synthetic.store import SYNTHESIS_VERSION, synthetic_store
from rim_lightning.datamodules.faces import FaceDataModule


class SyntheticDataModule(FaceDataModule):
    """A `FaceDataModule` over one store of synthetic faces, which it draws where it is not there yet.

    Args:
        directory: where the stores of synthetic faces are kept, one folder for each set of settings.
        people, views, hr_size, margin, splits: see `synthetic_store`.
        synthesis_seed: of the synthetic people.
        samples_per_epoch: training faces of an epoch; None: every one once.
        batch_size, workers, augmentation, eval_batch_size, seed, schemes: see `FaceDataModule`.
    """

    def __init__(
        self,
        directory: str | Path,
        people: int,
        views: int,
        hr_size: int,
        margin: float,
        splits: dict[str, float],
        batch_size: int,
        synthesis_seed: int = 0,
        workers: int = 0,
        augmentation: Callable[[int], FaceAugmentation] | None = None,
        samples_per_epoch: int | None = None,
        eval_batch_size: int | None = None,
        seed: int = 0,
        schemes: Sequence[str] | None = None,
    ) -> None:
        self.synthesis = {
            "people": people,
            "views": views,
            "hr_size": hr_size,
            "margin": margin,
            "seed": synthesis_seed,
            "splits": dict(splits),
        }
        digest = hashlib.sha256(json.dumps([SYNTHESIS_VERSION, self.synthesis]).encode()).hexdigest()[:8]
        store = Path(directory) / f"synthetic_{hr_size}_{digest}"
        super().__init__(
            {"synthetic": store},
            batch_size,
            workers=workers,
            augmentation=augmentation,
            shares={"synthetic": 1.0},
            samples_per_epoch=samples_per_epoch,
            eval_batch_size=eval_batch_size,
            seed=seed,
            schemes=schemes,
        )

    def prepare_data(self) -> None:
        """Draw the faces on the first process of the machine, unless an earlier run has."""
        synthetic_store(self.stores["synthetic"], workers=self.workers, **self.synthesis)
