"""A trained RIM in the hands of its users: embed, verify, hallucinate, from pictures of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.alignment import align, similarity_from_points, template
from rim_lightning.data.detection import find_faces
from rim_lightning.data.images import MIN_SIDE, ImageError, read_image, several
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.faces import SEARCHED, AlignedFace, _name_of
from rim_lightning.inference.model_folder import fingerprint, read_model
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.rim import RIM
from rim_lightning.types import to_unit

if TYPE_CHECKING:
    from rim_lightning.data.images import Picture


class Verification(NamedTuple):
    """Attributes:
    similarity: cosine of the two embeddings, in [-1, 1]. threshold: for the size of the probe and the FAR; a similarity
        that is not below it is the same person.
    same_person: the answer. far, frr: false accept rate that was asked for and the false reject rate that goes with
        it, both on the people of the calibration.
    probe_size, gallery_size: side of the smallest face of that side, in the pixels of its picture.
    probes, gallery: how many pictures of that side were pooled into its template.
    """

    similarity: float
    threshold: float
    same_person: bool
    far: float
    frr: float
    probe_size: float
    gallery_size: float
    probes: int
    gallery: int


class HallucinatedFaces(NamedTuple):
    """Attributes: bicubic, coarse, sr: (B, 3, S, S), RGB in [0, 1]: the enlarged probe, the coarse face, the result.
    heatmaps: landmark scheme -> (B, N, h, w), from 0 to about 1. parsing: (B, h, w) int64, Helen-11 class.
    size: (B,) sides of the probes in their own pixels.
    """

    bicubic: Tensor
    coarse: Tensor
    sr: Tensor
    heatmaps: dict[str, Tensor]
    parsing: Tensor
    size: Tensor


class Recognizer:
    """Compares probes of few pixels with sharp gallery pictures.

    Pictures are paths, Pillow images, arrays or tensors, of any size, one or several (`data.images.read_image`). The
    largest face in each is found and aligned; `aligned=True` says that a picture is an aligned square face already.

    Args:
        rim: the trained network, which is frozen and moved to the device. calibration: thresholds; without them
            `verify` refuses.
        device: "cpu", "cuda", … batch_size: faces that go through the network at a time.
    """

    def __init__(
        self,
        rim: RIM,
        calibration: Calibration | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.rim = rim.to(device).eval().requires_grad_(False)
        self.calibration = calibration
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.fingerprint = fingerprint(rim)
        self.embedding_size = rim.hrn.embedding_size

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, calibration: Calibration | None = None, device: str | torch.device = "cpu"
    ) -> Recognizer:
        """The model of a folder that `rim export` made, with its thresholds, or of a checkpoint of rim-train.

        Args:
            calibration: thresholds in place of the folder's.

        Raises:
            FileNotFoundError: there is no such file or folder. ValueError: it is damaged, or something else.
        """
        if Path(path).is_dir():
            model = read_model(path)
            return cls(model.rim, calibration or model.calibration, device)
        return cls(load_rim(path), calibration, device)

    def align(
        self, pictures: Picture | Sequence[Picture], aligned: bool = False, name: str | None = None
    ) -> list[AlignedFace]:
        """The largest face of each picture.

        Args:
            name: what messages call a picture, in place of its path.

        Raises:
            ImageError: a picture cannot be used, shows no face, or is not square where `aligned` says it is a face.
            FileNotFoundError: there is no such file.
        """
        return list(self._aligned(several(pictures), aligned, name))

    @torch.no_grad()
    def embed_gallery(self, pictures: Picture | Sequence[Picture], aligned: bool = False) -> Tensor:
        """Sharp pictures -> embeddings (B, E) of length 1, on the CPU, by the teacher; raises as `align`."""
        return self._embedded(self.rim.embed_gallery, self._aligned(several(pictures), aligned))

    @torch.no_grad()
    def embed_probes(self, pictures: Picture | Sequence[Picture], aligned: bool = False) -> Tensor:
        """Probes -> embeddings (B, E) of length 1, on the CPU, by the hallucination network, student and assistant;
        raises as `align`.
        """
        return self._embedded(self.rim.embed_probe, self._aligned(several(pictures), aligned))

    @torch.no_grad()
    def verify(
        self,
        probe: Picture | Sequence[Picture],
        gallery: Picture | Sequence[Picture],
        far: float = 1e-3,
        aligned: bool = False,
    ) -> Verification:
        """Whether a probe and a gallery picture show one person. Several pictures of a side, all of one person, are
        pooled into one template: the mean of their embeddings.

        Args:
            far: false accept rate, one of the calibration's.

        Raises:
            ValueError: the model has no thresholds, or none for that FAR. Else as `align`.
        """
        if self.calibration is None:
            raise ValueError("The model has no thresholds: rim export --people <a prepared set> chooses them.")
        probes = self.align(probe, aligned)
        sharp = self.align(gallery, aligned)
        sizes = [min(face.size for face in faces) for faces in (probes, sharp)]
        counts = (len(probes), len(sharp))
        point = self.calibration.at(sizes[0], far, *counts)
        a = pooled(self._embedded(self.rim.embed_probe, probes))
        b = pooled(self._embedded(self.rim.embed_gallery, sharp))
        similarity = float(a @ b)
        return Verification(similarity, point.threshold, similarity >= point.threshold, far, point.frr, *sizes, *counts)

    @torch.no_grad()
    def hallucinate(self, pictures: Picture | Sequence[Picture], aligned: bool = False) -> HallucinatedFaces:
        """The faces as the network sees them, on the CPU; raises as `align`."""
        faces = self.align(pictures, aligned)
        found = []
        for batch in _batches(faces, self.batch_size):
            enlarged = torch.stack([face.pixels for face in batch]).to(self.device)
            output = self.rim.fhn(enlarged)
            heatmaps = {scheme: maps.float().cpu() for scheme, maps in output.priors.heatmaps.items()}
            images = [_shown(image) for image in (enlarged, output.coarse, output.sr)]
            found.append((*images, heatmaps, output.priors.parsing.argmax(1).cpu()))
        bicubic, coarse, sr, heatmaps, parsing = zip(*found, strict=True)
        schemes = {scheme: torch.cat([maps[scheme] for maps in heatmaps]) for scheme in heatmaps[0]}
        sizes = torch.tensor([face.size for face in faces])
        return HallucinatedFaces(
            torch.cat(bicubic), torch.cat(coarse), torch.cat(sr), schemes, torch.cat(parsing), sizes
        )

    def _aligned(
        self, pictures: Sequence[Picture | AlignedFace], aligned: bool, name: str | None = None
    ) -> Iterator[AlignedFace]:
        if not pictures:
            raise ImageError("There is no picture: give at least one.")
        for number, picture in enumerate(pictures):
            if isinstance(picture, AlignedFace):
                if picture.pixels.shape[-1] != self.rim.hr_size:
                    raise ImageError(f"{picture.name} was aligned for another model: give the picture itself.")
                yield picture
                continue
            called = name or _name_of(picture, number, len(pictures))
            image = read_image(picture, called)
            yield self._given(image, called) if aligned else self._found(image, called)

    def _given(self, image: np.ndarray, name: str) -> AlignedFace:
        height, width = image.shape[:2]
        if height != width:
            raise ImageError(f"{name} is {width} x {height} pixels: an aligned face is square.")
        pixels = to_unit(torch.from_numpy(image).permute(2, 0, 1))[None]
        return AlignedFace(self._on_grid(pixels, width)[0], float(width), 0, name)

    def _found(self, image: np.ndarray, name: str) -> AlignedFace:
        (faces,) = find_faces([image], *SEARCHED)
        if not faces:
            raise ImageError(
                f"{name} shows no face that could be found: cut out the part with the face, or give the aligned face "
                "and say so (--aligned, aligned=True)."
            )
        hr_size = self.rim.hr_size
        matrix = similarity_from_points(faces[0].points, template(hr_size))
        size = hr_size / float(np.hypot(matrix[0, 0], matrix[1, 0]))
        if size < MIN_SIDE:
            raise ImageError(f"{name} shows a face of {size:.1f} px: {MIN_SIDE} are the fewest.")
        warped, _, _ = align(image, matrix, hr_size, {}, None)
        pixels = to_unit(torch.from_numpy(warped).permute(2, 0, 1))[None]
        if size < hr_size:  # as in training: the face on a grid of its own size, enlarged
            pixels = enlarge(reduce(pixels, max(1, round(size))), hr_size)
        return AlignedFace(pixels[0], size, len(faces), name)

    def _on_grid(self, pixels: Tensor, size: int) -> Tensor:
        hr_size = self.rim.hr_size
        if size == hr_size:
            return pixels
        return enlarge(pixels, hr_size) if size < hr_size else reduce(pixels, hr_size)

    def _embedded(self, embed: Callable[[Tensor], Tensor], faces: Iterable[AlignedFace]) -> Tensor:
        found = []
        for batch in _batches(faces, self.batch_size):
            pixels = torch.stack([face.pixels for face in batch]).to(self.device)
            found.append(F.normalize(embed(pixels).float()).cpu())
        return torch.cat(found)


def pooled(embeddings: Tensor) -> Tensor:
    """Embeddings (B, E) of one person -> one template (E,) of length 1: their mean."""
    return F.normalize(embeddings.mean(0), dim=0)


def _batches(faces: Iterable[AlignedFace], size: int) -> Iterator[list[AlignedFace]]:
    batch: list[AlignedFace] = []
    for face in faces:
        batch.append(face)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _shown(image: Tensor) -> Tensor:
    return ((image.float() + 1) / 2).clamp(0, 1).cpu()
