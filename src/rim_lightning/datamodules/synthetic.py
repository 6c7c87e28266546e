"""Synthetic faces as a data module: the whole pipeline without any data set."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rim_lightning.data.synthetic.store import SYNTHESIS_VERSION, synthetic_store
from rim_lightning.data.views import View
from rim_lightning.datamodules.faces import FaceDataModule


class LoadingOptions(TypedDict, total=False):
    """Arguments of `FaceDataModule` that say how faces are loaded, not which; their defaults stand there."""

    workers: int
    augmentation: Callable[[int], View] | None
    samples_per_epoch: int | None
    eval_batch_size: int | None
    seed: int
    schemes: Sequence[str] | None
    validation_faces: int | None


class SyntheticDataModule(FaceDataModule):
    """A `FaceDataModule` over one store of synthetic faces, which it creates if it is missing.

    Args:
        directory: Folder of the stores of synthetic faces; each set of settings has a folder of its own in it.
        people: Number of people.
        views: Number of pictures of each person.
        hr_size: Side of the aligned face in pixels.
        margin: Width of the frame around the face, as a share of `hr_size`.
        splits: "train", "val", "test" -> share of the people, on any positive scale.
        batch_size: Faces per batch and process.
        synthesis_seed: Seed of the people; another seed gives other people.
        **loading: `workers`, `augmentation`, `samples_per_epoch`, `eval_batch_size`, `seed`, `schemes` and
            `validation_faces` of `FaceDataModule`.
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
        **loading: Unpack[LoadingOptions],
    ) -> None:
        # The digest depends on the order of the entries: another order would synthesize all faces again.
        self.synthesis: dict[str, Any] = {
            "people": people,
            "views": views,
            "hr_size": hr_size,
            "margin": margin,
            "seed": synthesis_seed,
            "splits": dict(splits),
        }
        digest = hashlib.sha256(json.dumps([SYNTHESIS_VERSION, self.synthesis]).encode()).hexdigest()[:8]
        store = Path(directory) / f"synthetic_{hr_size}_{digest}"
        super().__init__({"synthetic": store}, batch_size, shares={"synthetic": 1.0}, **loading)

    def prepare_data(self) -> None:
        """Synthesize the faces on the first process of each machine, unless an earlier run has done so."""
        synthetic_store(self.stores["synthetic"], workers=self.workers, **self.synthesis)
