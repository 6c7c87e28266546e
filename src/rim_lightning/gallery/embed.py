"""Embed a tree of pictures with Lightning's predict loop, on every rank, file by file."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from rim_lightning.data.images import read_content
from rim_lightning.data.listing import image_files
from rim_lightning.distributed import leave_process_group
from rim_lightning.files import real_path
from rim_lightning.gallery.embedded_folder import EmbeddedFolder, EmbeddedRow, Manifest, names_digest
from rim_lightning.gallery.folder_pictures import reason_of
from rim_lightning.gallery.names import person_of, utf8_text
from rim_lightning.inference.faces import AlignedFace, FaceAligner
from rim_lightning.inference.recognizer import Recognizer, sizes_of
from rim_lightning.networks.usage import check_embeddings
from rim_lightning.runs.progress import progress_bar
from rim_lightning.runs.signals import SIGNALS, stopped_by_signals

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = ("gallery", "probe")


class Block(NamedTuple):
    """Pictures that go through the network together.

    Attributes:
        shard: Number of the file that they belong to.
        rows: All pictures, those that are left out too.
        faces: (n, 3, S, S), RGB in [-1, 1]: faces of the n pictures that are not left out, in their order.
        sizes: (n,) sides by which these faces are judged, in pixels.
    """

    shard: int
    rows: list[EmbeddedRow]
    faces: Tensor
    sizes: Tensor


class PictureBlocks(Dataset[Block]):
    """The pictures of some files of an embedded folder. An item is a block, which never crosses the end of a file.

    Args:
        folder: Folder of the embeddings.
        shards: Numbers of its files, in the order in which they are written.
        names: (N,) names of all pictures as the file system has them, in order.
        aligner: Finds the faces.
        size: Number of pictures in a block.
    """

    def __init__(
        self, folder: EmbeddedFolder, shards: list[int], names: pa.LargeBinaryArray, aligner: FaceAligner, size: int
    ) -> None:
        self.pictures, self.aligned = Path(folder.manifest.pictures), folder.manifest.aligned
        self.names, self.aligner = names, aligner
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
        usable = [face for face in faces if face is not None]
        none = torch.empty(0, 3, self.aligner.hr_size, self.aligner.hr_size)
        pixels = torch.stack([face.pixels for face in usable]) if usable else none
        return Block(shard, list(rows), pixels, sizes_of(usable))

    def _row(self, source: str) -> tuple[EmbeddedRow, AlignedFace | None]:
        """Read one picture and align its face."""
        path = self.pictures / source
        digest = None
        try:
            utf8_text(source)
            person = person_of(path, self.pictures)
            content = read_content(path, source)
            digest = hashlib.sha256(content).hexdigest()
            (face,) = self.aligner.align(content, self.aligned, name=source)
        except UnicodeError as error:
            return EmbeddedRow(ascii(source), left_out=str(error)), None
        except (OSError, ValueError) as error:
            if not path.parent.is_dir():  # the disk is unplugged; the picture is not at fault
                raise FileNotFoundError(
                    f"The folder {path.parent} is gone. The finished files are untouched: make it available "
                    "again, then repeat the command."
                ) from error
            return EmbeddedRow(source, digest=digest, left_out=reason_of(error, source)), None
        return EmbeddedRow(source, person, digest, face.size, face.faces, turned=face.turned), face


class EmbeddingModule(pl.LightningModule):
    """Embed the missing files of a folder, each rank its own ones, and write each file as soon as it is complete.

    The ranks need nothing of each other. They leave their group as soon as all have begun, so that none waits for
    another at the end, however unequal their files are.

    Args:
        recognizer: The model. It moves to the device of the rank.
        folder: Folder of the embeddings.
        names: (N,) names of all pictures as the file system has them, in order.
        batch_size: Number of pictures that go through the network at a time.
        workers: Number of loader processes, which find the faces. 0 finds them in this process.

    Attributes:
        own_pictures: Number of pictures that this rank embeds.
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
        self.allow_zero_length_dataloader_with_multiple_devices = True  # there may be fewer files than ranks
        self.rim = recognizer.rim  # a part of this module, so that Lightning moves it
        self.embedder = recognizer.embedder
        self.aligner = recognizer.aligner
        self.folder, self.names, self.batch_size, self.workers = folder, names, batch_size, workers
        self.own_pictures = 0
        self._rows: list[EmbeddedRow] = []
        self._embeddings: list[Tensor] = []

    def predict_dataloader(self) -> DataLoader[Block]:
        """Return the pictures of this rank."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        # A file belongs to a rank by its number alone: another rank may see one file more as finished.
        for shard in self.folder.shards[rank::world]:
            if self.folder.changed_pictures(shard):
                self.folder.file(shard).unlink()
        own = [shard for shard in self.folder.missing() if shard % world == rank]
        self.own_pictures = sum(len(self.folder.positions(shard)) for shard in own)
        return DataLoader(
            PictureBlocks(self.folder, own, self.names, self.aligner, self.batch_size),
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_start_worker,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )

    def on_predict_start(self) -> None:
        """Leave the group: all ranks are here at about the same time, for the last time."""
        leave_process_group()

    def transfer_batch_to_device(self, batch: Block, device: torch.device, dataloader_idx: int) -> Block:
        """Move the faces alone."""
        return batch._replace(faces=batch.faces.to(device, non_blocking=True))

    def predict_step(self, batch: Block) -> Tensor:
        """Embed a block.

        Args:
            batch: The block, its faces on the device.

        Returns:
            (n, E) float32 embeddings of length 1, on the CPU.
        """
        if not len(batch.faces):
            return torch.empty(0, self.folder.manifest.embedding_size)
        if self.folder.manifest.side == "gallery":
            return self.embedder.gallery(batch.faces).cpu()
        return self.embedder.probe(batch.faces, batch.sizes).cpu()

    def on_predict_batch_end(self, outputs: Any, batch: Block, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Write the file when the last of its blocks has been embedded."""
        self._rows += batch.rows
        self._embeddings.append(check_embeddings(outputs, self.folder.manifest.model))
        if len(self._rows) == len(self.folder.positions(batch.shard)):
            self.folder.write(batch.shard, self._rows, torch.cat(self._embeddings).numpy())
            self._rows, self._embeddings = [], []


class EmbeddingProgress(ProgressBar):
    """Shows a bar for the pictures of the first rank, in place of Lightning's own."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._enabled = True

    def disable(self) -> None:
        """Show nothing. Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the bar."""
        total = pl_module.own_pictures
        self._bar = progress_bar(total=total, desc="embedding", unit="picture", leave=False, shown=self._enabled)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Block,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(len(batch.rows))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar before a message is printed."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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
    """Embed all pictures of a folder. Files that are finished are skipped, unless a picture has been replaced since.

    Every rank calls this, and returns when its own files are written. The rank that started others returns when theirs
    are written too.

    Args:
        recognizer: The model.
        pictures: Folder of pictures.
        output: Folder of the embeddings, on a disk that all ranks see.
        trainer: Trainer with `use_distributed_sampler=False`. Its devices, nodes and precision are used.
        side: "gallery" embeds sharp pictures with the teacher, "probe" probes with hallucination, student and
            assistant.
        aligned: True if the pictures are aligned square faces.
        shard: Number of pictures in a file.
        batch_size: Number of pictures that go through the network at a time.
        workers: Number of loader processes of each rank.

    Returns:
        The folder. Other ranks may still write to it.

    Raises:
        ImageError: If the folder holds no picture.
        NotADirectoryError: If there is no such folder.
        ValueError: If a setting is out of range, or if `output` holds something else, or was begun by another model,
            with other settings or other pictures.
        OSError: If a file cannot be written, or the pictures are gone.
        Interrupted: If a signal requested the end.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side}: choose from {', '.join(SIDES)}.")
    if shard < 1 or batch_size < 1 or workers < 0:
        raise ValueError(
            f"shard and batch_size must be at least 1 and workers at least 0, got {shard}, {batch_size} and {workers}."
        )
    root = str(real_path(pictures))
    names = [os.fsencode(path)[len(os.fsencode(root)) :].lstrip(b"/") for path in image_files(root)]
    precision = str(trainer.precision)
    folder = EmbeddedFolder.begin(output, _manifest(recognizer, root, names, side, aligned, precision, shard), names)
    if folder.needs_work():
        import pyarrow as pa

        packed = pa.array(names, pa.large_binary())  # a list would be copied into every worker, little by little
        del names
        _predict(trainer, EmbeddingModule(recognizer, folder, packed, batch_size, workers))
    if not folder.missing():
        folder.tidy()
    return folder


def _manifest(
    recognizer: Recognizer, root: str, names: list[bytes], side: str, aligned: bool, precision: str, shard: int
) -> Manifest:
    return Manifest(
        model=recognizer.probe_fingerprint if side == "probe" else recognizer.fingerprint,
        embedding_size=recognizer.embedding_size,
        hr_size=recognizer.rim.hr_size,
        side=side,
        aligned=aligned,
        precision=precision,
        pictures=root,
        count=len(names),
        names=names_digest(names),
        shard=shard,
        detector=recognizer.aligner.detector,
    )


def _predict(trainer: pl.Trainer, module: EmbeddingModule) -> None:
    """Run the predict loop, end it at once after a signal, and wait for the ranks that it started."""
    launcher = trainer.strategy.launcher
    with stopped_by_signals():
        try:
            trainer.predict(module, return_predictions=False)
            leave_process_group()  # a rank without files has not left yet
            for child in getattr(launcher, "procs", []):  # Lightning kills this process if one of them fails
                child.wait()
        except BaseException:
            if launcher is not None:
                kill = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows SIGTERM kills, too
                launcher.kill(kill)  # a rank keeps nothing of an unfinished file
            raise


def _start_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # each worker would otherwise start a pool as large as the machine
    for signum in SIGNALS:
        if signum != signal.SIGTERM:  # a terminal and SLURM send the others to all processes; the rank decides
            signal.signal(signum, signal.SIG_IGN)
