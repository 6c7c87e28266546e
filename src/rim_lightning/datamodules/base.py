"""What all face data modules share: loaders that know their rank, and images that become float on the device."""

import time
from collections.abc import Iterator

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from rim_lightning.data.dataset import collate
from rim_lightning.types import FaceBatch, to_unit


class LazyLoader(DataLoader[FaceBatch]):
    """Asks its sampler for the order when the first batch is wanted, not when Lightning sets the loader up: only then
    does the sampler know the epoch, and where in it an interrupted run goes on.

    Attributes:
        waited: seconds that its user has waited for batches so far.
    """

    waited = 0.0

    def __iter__(self) -> Iterator[FaceBatch]:
        batches = super().__iter__()
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class FaceLoading(pl.LightningDataModule):
    """Base of the data modules. Batches are `FaceBatch`: images travel as uint8, on the device they are in [-1, 1].

    Args:
        eval_batch_size: faces per validation or test batch and process.
        workers: loader processes; 0 loads in the process that uses the batches.
    """

    def __init__(self, eval_batch_size: int, workers: int) -> None:
        super().__init__()
        self.eval_batch_size = eval_batch_size
        self.workers = workers

    def on_after_batch_transfer(self, batch: FaceBatch, dataloader_idx: int) -> FaceBatch:
        """uint8 images, once they are on the device, to float32 in [-1, 1]."""
        return batch._replace(hr=to_unit(batch.hr))

    def place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def loader(
        self,
        faces: Dataset[FaceBatch],
        batch_size: int,
        sampler: Sampler | None,
        drop_last: bool,
        kind: type[DataLoader] = DataLoader,
    ) -> DataLoader[FaceBatch]:
        """Batches of the faces a sampler asks for; None for all in order."""
        return kind(
            faces,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate,
            worker_init_fn=_one_thread,
            drop_last=drop_last,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

    def evaluation_loader(self, faces: Dataset[FaceBatch]) -> DataLoader[FaceBatch]:
        """Every face once and in order, shared out between the ranks; a few repeat there, with the same `index`."""
        rank, world = self.place()
        sampler = DistributedSampler(faces, world, rank, shuffle=False) if world > 1 else None
        return self.loader(faces, self.eval_batch_size, sampler, drop_last=False)


def _one_thread(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # each worker would otherwise start a pool as large as the machine
