"""A teacher that is trained once and kept for all runs that would train the same one."""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import Timeout

from rim_lightning import __version__
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.files import file_digest, whole_file, write_json
from rim_lightning.locks import process_lock
from rim_lightning.runs.progress import say
from rim_lightning.runs.records import TeacherRecord, read_record
from rim_lightning.training.teacher import train_teacher

TEACHER_VERSION = 1
"""Version of the training. It increases when the same settings give other weights; kept teachers are then not used."""


class TeacherRequest(NamedTuple):
    """Everything that decides the weights of a teacher, beside the faces themselves.

    Attributes:
        backbone: {"name": ..., arguments of that backbone}.
        training: Arguments of `train_teacher` with the names of `conf/teacher`: epochs, learning rate, loss.
        faces: Settings of the training data that say which faces a batch holds and how they are augmented.
        accelerator: Accelerator of Lightning's Trainer.
        verification_pairs: Number of genuine pairs, and of impostor pairs, of the validation people.
        seed: Seed of the weights.
    """

    backbone: Mapping[str, Any]
    training: Mapping[str, Any]
    faces: Mapping[str, Any]
    accelerator: str
    verification_pairs: int
    seed: int

    def digest(self, data: FaceDataModule) -> str:
        """Return 16 hexadecimal digits that two requests share only if training gives the same weights, bit for bit.

        A CPU adds in another order if it uses another number of threads.
        """
        code = [TEACHER_VERSION, __version__, torch.__version__]
        threads = torch.get_num_threads() if self.accelerator == "cpu" else None
        stores = {name: file_digest(Path(path) / MANIFEST) for name, path in data.stores.items()}
        text = json.dumps([code, threads, stores, self._asdict()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def provide_teacher(data: FaceDataModule, request: TeacherRequest, path: Path, folder: Path) -> dict[str, float]:
    """Write the weights of a teacher to a file. It is trained unless an earlier run has kept the same one.

    If several runs ask at once, one trains and the others wait. A kept file that is damaged is made anew.

    Args:
        data: Faces with identities.
        request: What decides the weights.
        path: File to write, see `save_backbone`.
        folder: Folder of the kept teachers, shared by the runs.

    Returns:
        The figures of `train_teacher`.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If the data have no identities.
    """
    data.prepare_data()
    weights = folder / f"{request.digest(data)}.pt"
    folder.mkdir(parents=True, exist_ok=True)
    lock = process_lock(weights.with_suffix(".lock"))
    try:
        guard = lock.acquire(timeout=0)
    except Timeout:
        say(f"Waiting for the teacher that another run trains: {weights}")
        guard = lock.acquire()
    with guard:
        figures = _kept_figures(weights)
        if figures is None:
            figures = _train(data, request, weights)
        else:
            say(f"Teacher taken from {weights}: an earlier run trained it with the same settings.")
        with whole_file(path) as part:
            shutil.copyfile(weights, part)
    return figures


def _train(data: FaceDataModule, request: TeacherRequest, weights: Path) -> dict[str, float]:
    figures = train_teacher(
        data,
        request.backbone,
        weights,
        accelerator=request.accelerator,
        verification_pairs=request.verification_pairs,
        seed=request.seed,
        **request.training,
    )
    write_json(_record(weights), {"sha256": file_digest(weights), "figures": figures, "request": request._asdict()})
    say(f"Teacher kept in {weights} for other runs.")
    return figures


def _kept_figures(weights: Path) -> dict[str, float] | None:
    """Return the figures of a kept teacher; None if there is none, or if it is damaged."""
    record = _record(weights)
    if not (weights.is_file() and record.is_file()):
        return None
    try:
        content = read_record(record, TeacherRecord)
        if content.sha256 == file_digest(weights):
            return {name: math.nan if value is None else value for name, value in content.figures.items()}
    except ValueError:
        pass
    say(f"The kept teacher {weights} is damaged: it is trained anew.")
    return None


def _record(weights: Path) -> Path:
    return weights.with_suffix(".json")
