"""Embeddings of faces by a trained system, computed once for each image and side and kept by content."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from rim_lightning.comparison.laboratory.readings import Parts, Side
from rim_lightning.types import FaceBatch, to_unit

BATCH = 64
KEPT_EVERY = 1024  # images: what an interruption may cost


class EmbeddingStore:
    """Embeddings on disk, one file for each (system, side); an image is known by the digest of its pixels.

    Args:
        folder: of the files. flip: average every embedding with that of the mirrored face.
        device: where the systems are.
    """

    def __init__(self, folder: Path, flip: bool = False, device: str = "cpu") -> None:
        self.folder = folder
        self.flip = flip
        self.device = torch.device(device)
        self._seen: dict[int, tuple[Dataset, dict[int, bytes]]] = {}  # the set itself keeps its id from another's use
        folder.mkdir(parents=True, exist_ok=True)

    def of(
        self,
        system: str,
        side: Side,
        parts: Callable[[], Parts],
        faces: Dataset[FaceBatch],
        positions: Sequence[int],
        title: str,
    ) -> Mapping[str, Tensor]:
        """Part -> (N, E) embeddings of unit length of N faces, in the order of their positions.

        Args:
            system: digest of everything that the embedding depends on, besides image and side.
            parts: makes the system; only called where an image is not known yet.
            faces: sharp aligned faces, items with `hr` (3, S, S) uint8. positions: of the N among them.
            title: of the progress bar.
        """
        text = json.dumps([system, side, self.flip])
        file = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
        known: dict[bytes, int] = {}
        arrays: dict[str, np.ndarray] = {}
        with suppress(FileNotFoundError, BadZipFile, EOFError, ValueError):  # a damaged file is made again
            with np.load(file) as content:
                found = {name: content[name] for name in content.files}
            known = {digest.tobytes(): row for row, digest in enumerate(found.pop("digests"))}
            arrays = found
        digests = self._digests(faces, positions)
        missing = list({digest: i for i, digest in enumerate(digests) if digest not in known}.values())
        if missing:
            compute = parts()
            chunks = [missing[start : start + KEPT_EVERY] for start in range(0, len(missing), KEPT_EVERY)]
            with tqdm(total=len(missing), desc=title, unit="face", leave=False) as bar:
                for chunk in chunks:
                    fresh = self._compute(
                        compute, side, [faces[positions[i]].hr for i in chunk], [digests[i] for i in chunk], bar
                    )
                    arrays = {
                        part: np.concatenate([arrays[part], values]) if part in arrays else values
                        for part, values in fresh.items()
                    }
                    for i in chunk:
                        known[digests[i]] = len(known)
                    _write(file, arrays, list(known))
        rows = [known[digest] for digest in digests]
        return {part: torch.from_numpy(values[rows]) for part, values in arrays.items()}

    def _digests(self, faces: Dataset[FaceBatch], positions: Sequence[int]) -> list[bytes]:
        """Of the pixels; every image of a set is read for it once."""
        _, seen = self._seen.setdefault(id(faces), (faces, {}))
        for i in positions:
            if i not in seen:
                seen[i] = hashlib.sha256(faces[i].hr.numpy().tobytes()).digest()[:16]
        return [seen[i] for i in positions]

    @torch.no_grad()
    def _compute(
        self, compute: Parts, side: Side, images: list[Tensor], digests: list[bytes], bar: tqdm
    ) -> dict[str, np.ndarray]:
        found: dict[str, list[Tensor]] = {}
        for start in range(0, len(images), BATCH):
            faces = to_unit(torch.stack(images[start : start + BATCH]).to(self.device))
            seeds = [int.from_bytes(digest[:6], "big") for digest in digests[start : start + BATCH]]
            shown = side.show(faces, seeds)
            embeddings = _unit(compute(shown))
            if self.flip:
                mirrored = _unit(compute(shown.flip(-1)))
                embeddings = {part: F.normalize(value + mirrored[part]) for part, value in embeddings.items()}
            for part, value in embeddings.items():
                found.setdefault(part, []).append(value.cpu())
            bar.update(len(faces))
        return {part: torch.cat(values).numpy() for part, values in found.items()}


def _unit(embeddings: dict[str, Tensor]) -> dict[str, Tensor]:
    return {part: F.normalize(value.float(), dim=1) for part, value in embeddings.items()}


def _write(file: Path, arrays: Mapping[str, np.ndarray], digests: list[bytes]) -> None:
    table = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)
    part = file.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, digests=table, **arrays)
    os.replace(part, file)
