"""Embeddings of faces by a trained system, computed once for each image and side and kept by content."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from rim_lightning.comparison.laboratory.readings import Side
from rim_lightning.evaluation.protocols import FaceSource
from rim_lightning.evaluation.verification import Embedder, embed_faces
from rim_lightning.files import whole_file
from rim_lightning.functional.seeded_probes import digest_seed, picture_digest
from rim_lightning.kept_arrays import read_kept
from rim_lightning.runs.progress import progress_bar
from rim_lightning.types import to_unit

BATCH = 64
SAVED_EVERY = 1024
"""Number of images after which embeddings are saved: what an interruption may cost."""


@dataclass
class _Table:
    """Embeddings of N images.

    Attributes:
        row_of: Digest of the pixels -> row.
        parts: Part of the system -> (N, E) embeddings.
    """

    row_of: dict[bytes, int] = field(default_factory=dict)
    parts: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, digests: Sequence[bytes], parts: Mapping[str, NDArray[Any]]) -> None:
        """Append rows."""
        self.parts = {
            part: np.concatenate([self.parts[part], rows]) if part in self.parts else rows
            for part, rows in parts.items()
        }
        for digest in digests:
            self.row_of[digest] = len(self.row_of)


class EmbeddingCache:
    """Embeddings on disk, one file for each system and side. An image is identified by the digest of its pixels.

    Args:
        folder: Folder of the files.
        flip: Average every embedding with that of the mirrored face.
        device: Where the systems are.
    """

    def __init__(self, folder: Path, flip: bool = False, device: str = "cpu") -> None:
        self.folder = folder
        self.flip = flip
        self.device = torch.device(device)
        # id of a set of faces -> (the set, position -> digest); the reference keeps the id from being used again
        self._digests_of: dict[int, tuple[FaceSource, dict[int, bytes]]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def embed(
        self,
        system: str,
        side: Side,
        load: Callable[[], Embedder],
        faces: FaceSource,
        positions: Sequence[int],
        title: str,
    ) -> Mapping[str, Tensor]:
        """Return the embeddings of N faces. Only images without an embedding are embedded.

        Args:
            system: Digest of everything that the embedding depends on, besides image and side.
            side: How the images are shown.
            load: Returns what embeds them. It is called only if an image is missing.
            faces: Sharp aligned faces; `hr` of an item is (3, S, S) uint8.
            positions: Positions of the N faces.
            title: Title of the progress bar.

        Returns:
            Part of the system -> (N, E) embeddings of unit length, in the order of the positions.
        """
        shown = side if side.misalignment else side[:2]  # a file of an earlier version is found under its name
        text = json.dumps([system, shown, self.flip])
        file = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
        table = _read(file)
        digests = self._digests(faces, positions)
        missing = list({digest: i for i, digest in enumerate(digests) if digest not in table.row_of}.values())
        if missing:
            embed = load()
            with progress_bar(total=len(missing), desc=title, unit="face", leave=False) as bar:
                for start in range(0, len(missing), SAVED_EVERY):
                    chunk = missing[start : start + SAVED_EVERY]
                    images = [faces[positions[i]].hr for i in chunk]
                    chunk_digests = [digests[i] for i in chunk]
                    table.add(chunk_digests, self._embed(embed, side, images, chunk_digests, bar))
                    _write(file, table)
        rows = [table.row_of[digest] for digest in digests]
        return {part: torch.from_numpy(values[rows]) for part, values in table.parts.items()}

    def _digests(self, faces: FaceSource, positions: Sequence[int]) -> list[bytes]:
        """Return the digests of the pixels. Each image of a set is read for it once."""
        _, digest_of = self._digests_of.setdefault(id(faces), (faces, {}))
        for position in positions:
            if position not in digest_of:
                digest_of[position] = picture_digest(faces[position].hr)
        return [digest_of[position] for position in positions]

    @torch.no_grad()
    def _embed(
        self, embed: Embedder, side: Side, images: list[Tensor], digests: list[bytes], bar: tqdm
    ) -> dict[str, NDArray[Any]]:
        """Embed images, (3, S, S) uint8 each, in batches."""
        batches: dict[str, list[Tensor]] = {}
        for start in range(0, len(images), BATCH):
            faces = to_unit(torch.stack(images[start : start + BATCH]).to(self.device))  # (B, 3, S, S)
            seeds = [digest_seed(digest) for digest in digests[start : start + BATCH]]
            embeddings = embed_faces(embed, side.show(faces, seeds), self.flip)
            if self.flip:
                embeddings = {part: F.normalize(embedding) for part, embedding in embeddings.items()}
            for part, embedding in embeddings.items():
                batches.setdefault(part, []).append(embedding.cpu())
            bar.update(len(faces))
        return {part: torch.cat(values).numpy() for part, values in batches.items()}


def _read(file: Path) -> _Table:
    """Read a file of embeddings. If it is missing or damaged, the table is empty and the file is made again."""
    parts = read_kept(file)
    digests = parts.pop("digests", np.empty((0, 0), np.uint8))
    row_of = {digest.tobytes(): row for row, digest in enumerate(digests)}
    whole = digests.ndim == 2 and digests.dtype == np.uint8 and len(row_of) == len(digests) > 0
    fits = [
        values.ndim == 2 and len(values) == len(digests) and values.dtype == np.float32 and np.isfinite(values).all()
        for values in parts.values()
    ]
    return _Table(row_of, parts) if whole and fits and all(fits) else _Table()


def _write(file: Path, table: _Table) -> None:
    digests = np.frombuffer(b"".join(table.row_of), dtype=np.uint8).reshape(len(table.row_of), -1)
    arrays: dict[str, Any] = {"digests": digests, **table.parts}
    with whole_file(file) as part, open(part, "wb") as stream:
        np.savez(stream, **arrays)
