"""Base of all data modules: loaders that know their rank, and images that become float on the device."""

import time
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from rim_lightning.data.dataset import FaceKey, collate
from rim_lightning.types import FaceBatch, to_unit


class TrainingLoader(DataLoader[FaceBatch]):
    """Loader of training batches that starts late and measures how long its user waits.

    The order is read from the sampler when the first batch is requested, not when Lightning sets up the loader. Only
    then does the sampler know the epoch, and the batch at which an interrupted run resumes.

    Attributes:
        seconds_waited: Seconds that the user has waited for batches, since the loader was built.
    """

    seconds_waited = 0.0

    def __iter__(self) -> Iterator[FaceBatch]:  # type: ignore[override]  # users need an iterator, not torch's class
        batches = super().__iter__()
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.seconds_waited += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class FaceLoading(pl.LightningDataModule):
    """Base of the data modules. Images of a `FaceBatch` travel as uint8 and are in [-1, 1] on the device.

    Args:
        eval_batch_size: Faces per validation or test batch and process.
        workers: Loader processes; 0 loads in the process that uses the batches.
    """

    def __init__(self, eval_batch_size: int, workers: int) -> None:
        super().__init__()
        self.eval_batch_size = eval_batch_size
        self.workers = workers

    def on_after_batch_transfer(self, batch: FaceBatch, dataloader_idx: int) -> FaceBatch:
        """Convert images that have reached the device from uint8 to float32 in [-1, 1]."""
        return batch._replace(hr=to_unit(batch.hr))

    def place(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def training_loader(self, faces: Dataset[FaceBatch], batch_size: int, sampler: Sampler[FaceKey]) -> TrainingLoader:
        """Load the faces that a sampler names, in full batches; a remainder is dropped."""
        return TrainingLoader(faces, batch_size, sampler=sampler, drop_last=True, **self._options())

    def evaluation_loader(self, faces: Dataset[FaceBatch]) -> DataLoader[FaceBatch]:
        """Load every face once and in order, shared out between the ranks.

        If the ranks cannot share them equally, a few faces are repeated, with the same `index`.
        """
        rank, world = self.place()
        sampler: Sampler[int] | None = None
        if world > 1:
            sampler = DistributedSampler(faces, world, rank, shuffle=False)
        return DataLoader(faces, self.eval_batch_size, sampler=sampler, **self._options())

    def _options(self) -> dict[str, Any]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return {
            "num_workers": self.workers,
            "collate_fn": collate,
            "worker_init_fn": _use_one_thread,
            "pin_memory": on_gpu,
            "persistent_workers": self.workers > 0,
        }


def _use_one_thread(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # each worker would otherwise start a pool as large as the machine
