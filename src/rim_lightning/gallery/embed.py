"""Embed a tree of pictures with Lightning's predict loop, on every rank, file by file."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rim_lightning.data.images import image_files
from rim_lightning.distributed import leave
from rim_lightning.gallery.embedded_folder import EmbeddedFolder, Manifest, Row, names_digest
from rim_lightning.gallery.enrollment import person_of, written
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.runs.signals import _stopped_by_signals

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = ("gallery", "probe")


class Block(NamedTuple):
    """Pictures that go through the network together.

    Attributes: shard: the file that they go to. rows: what is known of each. faces: (n, 3, S, S), RGB in [-1, 1], of
    the n that are not left out, in their order.
    """

    shard: int
    rows: list[Row]
    faces: Tensor


class PictureBlocks(Dataset[Block]):
    """The pictures of some files of an embedded folder. An item is a block, which never crosses the end of a file.

    Args:
        folder: for which the pictures are. shards: numbers of its files, in the order wanted.
        names: (N,) of all its pictures as the file system has them, in order.
        align: finds the face in a picture; see `Recognizer.align`. hr_size: S. size: pictures of a block.
    """

    def __init__(
        self,
        folder: EmbeddedFolder,
        shards: list[int],
        names: pa.LargeBinaryArray,
        align: Callable[..., list[AlignedFace]],
        hr_size: int,
        size: int,
    ) -> None:
        self.pictures, self.aligned = Path(folder.manifest.pictures), folder.manifest.aligned
        self.names, self.align, self.hr_size = names, align, hr_size
        self.blocks = [
            (shard, positions[start : start + size])
            for shard in shards
            for positions in (folder.positions(shard),)
            for start in range(0, len(positions), size)
        ]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Block:
        shard, positions = self.blocks[index]
        rows, faces = zip(
            *(self._row(os.fsdecode(self.names[position].as_py())) for position in positions), strict=True
        )
        found = [face for face in faces if face is not None]
        empty = torch.empty(0, 3, self.hr_size, self.hr_size)
        return Block(shard, list(rows), torch.stack(found) if found else empty)

    def _row(self, source: str) -> tuple[Row, Tensor | None]:
        path = self.pictures / source
        try:
            written(source)
            person = person_of(path, self.pictures)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            (face,) = self.align(path, self.aligned, name=source)
        except UnicodeError as error:
            return Row(ascii(source), left_out=str(error)), None
        except (OSError, ValueError) as error:
            if not path.parent.is_dir():  # the disk is gone, not the picture
                raise FileNotFoundError(
                    f"The folder {path.parent} has vanished. The finished files are untouched: bring it back, then "
                    "give the same command again."
                ) from error
            why = f"{source}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
            return Row(source, left_out=why), None
        return Row(source, person, digest, face.size, face.faces), face.pixels


class EmbeddingModule(pl.LightningModule):
    """Every rank embeds the pictures of the files that are its own by their number and are not finished, and writes
    each when it has all of it. The ranks need nothing of each other: they leave their group as soon as all have begun,
    so that none waits for another at the end, however unequal their files are.

    Args:
        recognizer: the model; it goes to the device of the rank. folder: to write to. names: see `PictureBlocks`.
        batch_size: pictures that go through the network at a time. workers: loader processes, which find the faces.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        folder: EmbeddedFolder,
        names: pa.LargeBinaryArray,
        batch_size: int,
        workers: int,
    ) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # fewer files than ranks
        self.rim = recognizer.rim
        self.align = recognizer.align
        self.folder, self.names, self.batch_size, self.workers = folder, names, batch_size, workers
        self._rows: list[Row] = []
        self._embeddings: list[Tensor] = []

    def predict_dataloader(self) -> DataLoader[Block]:
        """The pictures of this rank."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        # By the number alone, whatever is finished: another rank may see one file more as finished.
        own = [shard for shard in self.folder.missing() if shard % world == rank]
        blocks = PictureBlocks(self.folder, own, self.names, self.align, self.rim.hr_size, self.batch_size)
        return DataLoader(
            blocks,
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_start_worker,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )

    def on_predict_start(self) -> None:
        """All ranks are here at about the same time, for the last time."""
        leave()

    def transfer_batch_to_device(self, batch: Block, device: torch.device, dataloader_idx: int) -> Block:
        """Only the faces go there."""
        return batch._replace(faces=batch.faces.to(device, non_blocking=True))

    def predict_step(self, batch: Block) -> Tensor:
        """Embeddings (n, E), float32 of length 1, on the CPU."""
        if not len(batch.faces):
            return torch.empty(0, self.folder.manifest.embedding_size)
        gallery = self.folder.manifest.side == "gallery"
        embed = self.rim.embed_gallery if gallery else self.rim.embed_probe
        return F.normalize(embed(batch.faces).float()).cpu()

    def on_predict_batch_end(self, outputs: Tensor, batch: Block, batch_idx: int) -> None:
        """Write the file when the last of its blocks is there."""
        self._rows += batch.rows
        self._embeddings.append(outputs)
        if len(self._rows) == len(self.folder.positions(batch.shard)):
            self.folder.write(batch.shard, self._rows, torch.cat(self._embeddings).numpy())
            self._rows, self._embeddings = [], []


def embed_folder(
    recognizer: Recognizer,
    pictures: str | Path,
    output: str | Path,
    trainer: pl.Trainer,
    *,
    side: str = "gallery",
    aligned: bool = False,
    shard: int = 4096,
    batch_size: int = 64,
    workers: int = 0,
) -> EmbeddedFolder:
    """Embed all pictures of a folder and of the folders in it; what an earlier run has finished is passed over.

    Every rank calls this, and returns when its own files are written, the one that started others when theirs are.

    Args:
        pictures: the folder. output: folder of the embeddings, on a disk that all ranks see.
        trainer: with `use_distributed_sampler=False`; its devices, nodes and precision are used.
        side: "gallery": sharp pictures, by the teacher; "probe": probes, by hallucination, student and assistant.
        aligned: the pictures are aligned square faces already. shard: pictures of a file.
        batch_size, workers: see `EmbeddingModule`.

    Raises:
        ImageError, NotADirectoryError: the folder is none, or holds no picture. ValueError: a setting is out of range,
            or `output` holds something else, or was begun by another model, with other settings or pictures.
        OSError: a file cannot be written, or the pictures have vanished. Interrupted: a signal asked to stop.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side}: choose from {', '.join(SIDES)}.")
    if shard < 1 or batch_size < 1 or workers < 0:
        raise ValueError(f"shard={shard} and batch_size={batch_size} are 1 or more, workers={workers} is 0 or more.")
    root = str(Path(pictures).resolve())
    names = [os.fsencode(path)[len(os.fsencode(root)) :].lstrip(b"/") for path in image_files(root)]
    folder = EmbeddedFolder.begin(
        output,
        Manifest(
            model=recognizer.fingerprint,
            embedding_size=recognizer.embedding_size,
            hr_size=recognizer.rim.hr_size,
            side=side,
            aligned=aligned,
            precision=str(trainer.precision),
            pictures=root,
            count=len(names),
            names=names_digest(names),
            shard=shard,
        ),
    )
    if folder.missing():
        import pyarrow as pa

        packed = pa.array(names, pa.large_binary())  # a list would be copied into every worker, little by little
        del names
        _predict(trainer, EmbeddingModule(recognizer, folder, packed, batch_size, workers))
    if not folder.missing():
        folder.tidy()
    return folder


def _predict(trainer: pl.Trainer, module: EmbeddingModule) -> None:
    launcher = trainer.strategy.launcher
    with _stopped_by_signals():
        try:
            trainer.predict(module, return_predictions=False)
            leave()  # where this rank had no file
            for child in getattr(launcher, "procs", []):  # ranks that Lightning started; it kills us if one fails
                child.wait()
        except BaseException:
            if launcher is not None:
                launcher.kill(signal.SIGKILL)  # what they have not finished is worth nothing
            raise


def _start_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # each worker would otherwise start a pool as large as the machine
    for signum in (signal.SIGINT, signal.SIGUSR1):  # which a terminal and SLURM send to all; the rank decides
        signal.signal(signum, signal.SIG_IGN)
