"""The class that users import: embed, verify and hallucinate faces from pictures of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DetectorName, checked_detector
from rim_lightning.inference.calibration import Calibration, probe_weights
from rim_lightning.inference.default_model import model_or_shipped
from rim_lightning.inference.faces import (
    Aligned,
    AlignedFace,
    Box,
    FaceAligner,
    is_aligned,
    judged_as,
    without_copies,
)
from rim_lightning.inference.model_folder import fingerprint, read_model
from rim_lightning.inference.verdict import (
    DEFAULT_FAR,
    TRUE_PROBES,
    CalibrationSet,
    PooledQuality,
    ProbeQuality,
    Ratio,
    count_of,
    interval_of,
    shown_apart,
    verdict,
)
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.tiny_weights import flush_tiny_weights
from rim_lightning.networks.usage import FaceEmbedder, Usage, check_embeddings

if TYPE_CHECKING:
    from rim_lightning.data.images import Picture
    from rim_lightning.inference.faces import FaceSource

Item = TypeVar("Item")


class Verification(NamedTuple):
    """Answer to the question whether a probe and a gallery picture show one person.

    Attributes:
        similarity: Cosine of the two embeddings, in [-1, 1]; the weighted mean of two cosines if the model also looks
            at the gallery picture reduced to the size of the probe.
        threshold: Threshold for the size of the probe and the false accept rate; see `Calibration.template_point` for
            probes of several sizes.
        accepted: True if similarity ≥ threshold.
        far: False accept rate that was requested: share of strangers who are accepted.
        frr: False reject rate at the threshold: share of true pairs that are refused. Like the threshold, it comes
            from the people of the calibration.
        probe_size: Side of the smallest probe face, in pixels: of its picture, or of its detail if that was enlarged.
        gallery_size: Side of the smallest gallery face, likewise.
        probes: Number of probes that were pooled into one template.
        gallery: Number of gallery pictures that were pooled into one template.
        chosen_on: The people of the calibration: name of the set, number of people, photographs or synthetic.
        far_interval: 95 % interval of the false accept rate of other people at the threshold. None if the card is of
            an earlier version and has none.
        frr_interval: The same of the false reject rate.
        ratio: Likelihood ratio of the similarity. None if the card has none.
        not_acquired: Share of probes of this size in which no usable face is found, which are not in the false reject
            rate. None if that was not measured.
        largest_probe_size: Side of the largest probe face. None of a single probe.
        quality: Quality of the probe. None of several probes, or if the card knows none.
        pooled_quality: Quality of each of several probes, as if it were alone. None of a single probe, or if the card
            knows none.
        beyond: Where the comparison lies beyond what was measured (`Calibration.beyond_measured`), and which pictures
            are copies, in sentences.
    """

    similarity: float
    threshold: float
    accepted: bool
    far: float
    frr: float
    probe_size: float
    gallery_size: float
    probes: int
    gallery: int
    chosen_on: CalibrationSet
    far_interval: tuple[float, float] | None = None
    frr_interval: tuple[float, float] | None = None
    ratio: Ratio | None = None
    not_acquired: float | None = None
    largest_probe_size: float | None = None
    quality: ProbeQuality | None = None
    pooled_quality: PooledQuality | None = None
    beyond: tuple[str, ...] = ()

    def cautions(self) -> list[str]:
        """Return what is to be said before the verdict: low quality of probes, and what was not measured."""
        qualities = [quality for quality in (self.quality, self.pooled_quality) if quality is not None]
        low = [caution for quality in qualities if (caution := quality.caution()) is not None]
        return [*low, *self.beyond]

    def in_words(self) -> list[str]:
        """Return the answer in sentences, its side of the threshold first."""
        counts = (
            f" ({_counted(self.probes, 'probe')}, {_counted(self.gallery, 'gallery picture')}, pooled)"
            if self.probes + self.gallery > 2
            else ""
        )
        passed = "all strangers" if self.far == 1 else f"{count_of(self.far)} strangers"
        return [
            verdict(self.accepted, self.far),
            "similarity {}, threshold {}".format(*shown_apart(self.similarity, self.threshold)),
            *([] if self.ratio is None else [self.ratio.in_words()]),
            f"for {self._sizes()}{counts}: {passed} would pass{interval_of(self.far_interval)}, "
            f"and {count_of(self.frr)} true pairs would be missed{interval_of(self.frr_interval)}",
            *([] if self.not_acquired is None else [self._with_lost(self.not_acquired)]),
            *([] if self.pooled_quality is None else [self.pooled_quality.in_words()]),
            f"measured on {self.chosen_on.in_words()}",
        ]

    def _sizes(self) -> str:
        least, most = (f"{size:.0f}" for size in (self.probe_size, self.largest_probe_size or self.probe_size))
        return f"a probe of {least} px" if least == most else f"probes of {least} to {most} px"

    def _with_lost(self, not_acquired: float) -> str:
        """Return how many true pairs are missed if those count whose face is not found."""
        of_all_sizes = self.chosen_on.probes.startswith(TRUE_PROBES)
        which = "probes of all sizes together" if of_all_sizes else "probes of this size"
        if not_acquired == 0:
            return f"a usable face was found in all {which}"
        missed = f"{count_of(not_acquired + (1 - not_acquired) * self.frr)} true pairs would be missed"
        then = f"if that holds at this size, {missed} with these" if of_all_sizes else f"with these, {missed}"
        return f"in {count_of(not_acquired)} {which} no usable face is found; {then}"


class HallucinatedFaces(NamedTuple):
    """Faces that the hallucination network makes of B probes, with heatmaps and parsing, on the CPU.

    Attributes:
        bicubic: (B, 3, S, S), RGB in [0, 1]: probes, enlarged bicubically.
        coarse: (B, 3, S, S), RGB in [0, 1]: coarse faces.
        sr: (B, 3, S, S), RGB in [0, 1]: hallucinated faces.
        heatmaps: Landmark scheme -> (B, N, h, w) heatmaps, from 0 to about 1.
        landmarks: Landmark scheme -> (B, N, 2), x and y in pixels of the hallucinated face.
        parsing: (B, h, w) int64, Helen-11 class of each pixel.
        size: (B,) sides of the probes, in pixels of their pictures.
    """

    bicubic: Tensor
    coarse: Tensor
    sr: Tensor
    heatmaps: dict[str, Tensor]
    landmarks: dict[str, Tensor]
    parsing: Tensor
    size: Tensor


class Recognizer:
    """Compare probes of few pixels with sharp gallery pictures.

    A picture is a path, a Pillow image, an array or a tensor of any size (see `data.images.read_image`). All methods
    take one picture, a list of them or a batch. The largest face in each is found and aligned. With `aligned=True` a
    picture is taken as an aligned square face.

    Args:
        rim: Trained network. It is frozen and moved to the device.
        calibration: Thresholds. Without them `verify` refuses to answer.
        device: Device of the network: "cpu", "cuda", …
        batch_size: Number of faces that go through the network at a time.
        demo: True to decide even if the thresholds were chosen on synthetic faces, which say nothing about photographs.
        detector: Finds the faces: "yunet", or "mtcnn" if facenet-pytorch is installed.
        usage: How the network is used; None for one look by RIM alone. The thresholds must be those of this usage.
        pair_calibration: Thresholds of `verify`, if the usage has a second look at the gallery.

    Raises:
        ValueError: If there is no such detector.
        MissingExtra: If its packages are missing.

    Attributes:
        fingerprint: Name of the weights. Embeddings of two models with different fingerprints cannot be compared.
        probe_fingerprint: The same for embeddings of probes, on which the mixture with the teacher has a say too.
        embedder: The network as it is used.
        embedding_size: Length E of an embedding.
        aligner: The part that finds and aligns faces.
    """

    def __init__(
        self,
        rim: RIM,
        calibration: Calibration | None = None,
        device: str | torch.device = "cpu",
        batch_size: int = 32,
        demo: bool = False,
        detector: DetectorName = DEFAULT_DETECTOR,
        usage: Usage | None = None,
        pair_calibration: Calibration | None = None,
    ) -> None:
        self.rim = rim.to(device).eval().requires_grad_(False)
        self.embedder = FaceEmbedder(self.rim, usage or Usage())
        self.calibration = calibration
        self.pair_calibration = pair_calibration
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.demo = demo
        self.fingerprint = fingerprint(rim, usage)
        self.probe_fingerprint = fingerprint(rim, usage, of_probes=True)
        flush_tiny_weights(self.rim)  # after the names, which galleries of earlier versions hold
        self.embedding_size: int = rim.hrn.embedding_size  # type: ignore[assignment]  # the teacher has a head
        self.aligner = FaceAligner(rim.hr_size, checked_detector(detector), str(self.device))

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        calibration: Calibration | None = None,
        device: str | torch.device = "cpu",
        demo: bool = False,
        detector: DetectorName = DEFAULT_DETECTOR,
    ) -> Recognizer:
        """Load a model folder of `rim export`, with its thresholds, or a checkpoint of rim-train.

        Args:
            path: Model folder or checkpoint. None takes the model that comes with the package.
            calibration: Thresholds to use instead of those in the folder.
            device: Device of the network and of the detector.
            detector: Finds the faces: "yunet" or "mtcnn".
            demo: True to decide even if the thresholds were chosen on synthetic faces.

        Returns:
            The recognizer.

        Raises:
            FileNotFoundError: If there is no such file or folder, or the package comes without a model.
            ValueError: If the model is damaged or was changed, or the path is neither a model folder nor a checkpoint
                of rim-train; or if there is no such detector.
            MissingExtra: If the packages of the detector are missing.
        """
        path = model_or_shipped(path)
        if path.is_dir():
            model = read_model(path)
            return cls(
                model.rim,
                calibration or model.calibration,
                device,
                demo=demo,
                detector=detector,
                usage=model.usage,
                pair_calibration=calibration or model.pair_calibration,
            )
        return cls(load_rim(path), calibration, device, detector=detector, demo=demo)

    def align(
        self,
        pictures: FaceSource | Sequence[FaceSource],
        aligned: bool = False,
        name: str | None = None,
        face: int | Box | None = None,
    ) -> list[AlignedFace]:
        """Return one face of each picture. It may be given to the other methods in place of the picture.

        Args:
            pictures: One or several pictures.
            aligned: True if each picture is an aligned square face already.
            name: Name of a picture in messages. By default its path or number.
            face: Number of the face, from 1; or the box x0, y0, x1, y1 in pixels in which it lies. None takes the
                largest.

        Returns:
            One face for each picture.

        Raises:
            ImageError: If there is no picture, or one cannot be used, shows no face, or is not square though `aligned`
                is True.
            FileNotFoundError: If there is no such file.
        """
        aligner = self.aligner if face is None else replace(self.aligner, face=face)
        return list(aligner.align(pictures, aligned, name))

    def align_all(self, picture: Picture, name: str | None = None) -> list[AlignedFace]:
        """Return all usable faces of a picture, the largest first; see `FaceAligner.align_all`."""
        return self.aligner.align_all(picture, name)

    @torch.no_grad()
    def embed_gallery(self, pictures: FaceSource | Sequence[FaceSource], aligned: Aligned = False) -> Tensor:
        """Embed sharp pictures with the teacher.

        Args:
            pictures: One or several sharp pictures.
            aligned: True if each picture is an aligned square face already.

        Returns:
            (B, E) embeddings of length 1, on the CPU.

        Raises:
            ImageError: See `align`.
            FileNotFoundError: See `align`.
        """
        return self._embed_gallery(self.aligner.align(pictures, is_aligned(aligned, "gallery")))

    @torch.no_grad()
    def embed_probes(self, pictures: FaceSource | Sequence[FaceSource], aligned: Aligned = False) -> Tensor:
        """Embed probes with the hallucination network, the student and the assistant.

        Args:
            pictures: One or several probes.
            aligned: True if each picture is an aligned square face already.

        Returns:
            (B, E) embeddings of length 1, on the CPU.

        Raises:
            ImageError: See `align`.
            FileNotFoundError: See `align`.
        """
        return self._embed_probes(self.aligner.align(pictures, is_aligned(aligned, "probe")))

    @torch.no_grad()
    def embed_with_signals(self, faces: Sequence[AlignedFace]) -> tuple[Tensor, Tensor]:
        """Embed aligned probes, and return the signals of their quality.

        Args:
            faces: At least one probe, see `align`.

        Returns:
            What `embed_probes` returns, and the signals, (B, K) on the CPU, see `networks.probe_signals`.

        Raises:
            ValueError: If the network makes no embedding of one.
        """
        signals: list[Tensor] = []

        def embed(block: list[AlignedFace]) -> Tensor:
            embeddings, of_block = self.embedder.probe_with_signals(self._stacked(block), sizes_of(block))
            signals.append(of_block)
            return embeddings

        return self._embed(embed, faces), torch.cat(signals)

    @torch.no_grad()
    def verify(
        self,
        probe: FaceSource | Sequence[FaceSource],
        gallery: FaceSource | Sequence[FaceSource],
        far: float = DEFAULT_FAR,
        aligned: Aligned = False,
        size: float | None = None,
    ) -> Verification:
        """Decide whether a probe and a gallery picture show one person.

        Several pictures of a side, all of one person, are pooled into one template: the mean of their embeddings. Of
        copies of a picture one counts.

        Args:
            probe: One or several probes of one person.
            gallery: One or several sharp pictures of one person.
            far: False accept rate, one of `calibration.usable_fars()`.
            aligned: True or "both" if each picture is an aligned square face already; "probe" or "gallery" if those of
                one side are.
            size: Side of the probes in pixels, if it is known better than the pictures tell. It decides the threshold.

        Returns:
            The answer, with its similarity, threshold and error rates.

        Raises:
            ValueError: If the model has no thresholds, or none for that false accept rate; if they were chosen on
                synthetic faces and `demo` is False; or if an embedding, the similarity or the threshold is not finite.
            ImageError: See `align`.
            FileNotFoundError: See `align`.
        """
        self.required_calibration(pairs=True).check_far(far)
        probe_faces = judged_as(self.align(probe, is_aligned(aligned, "probe")), size)
        gallery_faces = self.align(gallery, is_aligned(aligned, "gallery"))
        copied = tuple(_copies_named(probe_faces, gallery_faces))
        given, probe_faces, gallery_faces = probe_faces, without_copies(probe_faces), without_copies(gallery_faces)
        sizes = [face.size for face in probe_faces]
        embeddings, signals = self.embed_with_signals(probe_faces)
        templates = pool(embeddings, sizes), pool(self._embed_gallery(gallery_faces))
        similarity = self.similarity(*templates, min(sizes), gallery_faces)
        answer = self.judge(similarity, sizes, [face.size for face in gallery_faces], far, signals)
        if (quality := answer.pooled_quality) is not None:  # the score of a copy is that of its picture
            scores = dict(zip((face.content() for face in probe_faces), quality.scores, strict=True))
            quality = quality._replace(scores=tuple(scores[face.content()] for face in given))
        return answer._replace(pooled_quality=quality, beyond=(*answer.beyond, *copied))

    def judge(
        self,
        similarity: float,
        probe_sizes: Sequence[float],
        gallery_sizes: Sequence[float],
        far: float = DEFAULT_FAR,
        signals: Tensor | None = None,
    ) -> Verification:
        """Say what a similarity means that was computed before; `verify` does both.

        Args:
            similarity: Similarity of a template of probes and one of gallery pictures, in [-1, 1].
            probe_sizes: Side of each probe in pixels, at least one.
            gallery_sizes: Side of each gallery face in pixels, at least one.
            far: False accept rate, one of `calibration.usable_fars()`.
            signals: Signals of the quality of each probe, (P, K), see `embed_with_signals`. None says nothing of it.

        Returns:
            The answer.

        Raises:
            ValueError: See `verify`.
        """
        calibration = self.required_calibration(pairs=True)
        calibration.check_far(far)
        point = calibration.template_point(probe_sizes, far, len(gallery_sizes))
        self._check_finite(similarity, point.threshold)
        known = [] if signals is None else signals.tolist()
        of_one = len(known) == 1
        return Verification(
            similarity=similarity,
            threshold=point.threshold,
            accepted=similarity >= point.threshold,
            far=far,
            frr=point.frr,
            probe_size=min(probe_sizes),
            gallery_size=min(gallery_sizes),
            probes=len(probe_sizes),
            gallery=len(gallery_sizes),
            chosen_on=calibration.chosen_on,
            far_interval=point.far_interval,
            frr_interval=point.frr_interval,
            not_acquired=point.not_acquired,
            ratio=calibration.template_ratio(similarity, probe_sizes, len(gallery_sizes)),
            largest_probe_size=max(probe_sizes) if len(probe_sizes) > 1 else None,
            quality=calibration.probe_quality(known[0], probe_sizes[0], far, len(gallery_sizes)) if of_one else None,
            pooled_quality=calibration.pooled_quality(known, probe_sizes) if known else None,
            beyond=calibration.beyond_measured(probe_sizes, len(gallery_sizes)),
        )

    @torch.no_grad()
    def similarity(self, probe: Tensor, gallery: Tensor, size: float, gallery_faces: Sequence[AlignedFace]) -> float:
        """Compare a template of probes with a template of gallery pictures.

        Args:
            probe: (E,), of length 1; see `pool`.
            gallery: (E,), of length 1.
            size: Side of the smallest probe in pixels.
            gallery_faces: Faces of the gallery template, which are looked at once more if the model compares with them
                reduced to that size (`Usage.reduced_gallery`); else they are not used.

        Returns:
            The similarity, in [-1, 1].
        """
        similarity = float(probe @ gallery)
        curve = self.embedder.usage.reduced_gallery
        weight = 0.0 if curve is None else float(curve.at(torch.tensor([size])))
        if weight == 0:
            return similarity
        reduced = self._embed(lambda block: self.embedder.reduced_gallery(self._stacked(block), size), gallery_faces)
        return (1 - weight) * similarity + weight * float(probe @ pool(reduced))

    @torch.no_grad()
    def hallucinate(self, pictures: FaceSource | Sequence[FaceSource], aligned: Aligned = False) -> HallucinatedFaces:
        """Hallucinate sharp faces from probes, with landmark heatmaps and parsing.

        Args:
            pictures: One or several probes.
            aligned: True if each picture is an aligned square face already.

        Returns:
            Faces, heatmaps and parsing of all probes, on the CPU.

        Raises:
            ImageError: See `align`.
            FileNotFoundError: See `align`.
        """
        faces = self.align(pictures, is_aligned(aligned, "probe"))
        outputs = [self._hallucinate_batch(batch) for batch in batches(faces, self.batch_size)]
        return HallucinatedFaces(
            bicubic=torch.cat([output.bicubic for output in outputs]),
            coarse=torch.cat([output.coarse for output in outputs]),
            sr=torch.cat([output.sr for output in outputs]),
            heatmaps=_joined([output.heatmaps for output in outputs]),
            landmarks=_joined([output.landmarks for output in outputs]),
            parsing=torch.cat([output.parsing for output in outputs]),
            size=sizes_of(faces),
        )

    def required_calibration(self, pairs: bool = False) -> Calibration:
        """Return the calibration. Whatever decides about photographs asks for it here.

        Args:
            pairs: True for the thresholds of `verify`; False for those of `embed_probes` and `embed_gallery`, which
                a gallery needs.

        Returns:
            The calibration.

        Raises:
            ValueError: If the model has none, or one that was made on synthetic faces, without `demo`.
        """
        if self.calibration is None:
            raise ValueError("The model has no thresholds: rim export --people <a prepared set> chooses them.")
        if self.calibration.synthetic and not self.demo:
            raise ValueError(
                f"The thresholds of the model were chosen on {self.calibration.chosen_on.in_words()} and say nothing "
                "about photographs: export it again with rim export --people <a prepared set of photographs>, or add "
                "--demo (demo=True) to try it out."
            )
        return self.pair_calibration if pairs and self.pair_calibration is not None else self.calibration

    def _hallucinate_batch(self, faces: list[AlignedFace]) -> HallucinatedFaces:
        enlarged = self._stacked(faces)
        output = self.rim.fhn(enlarged, sizes_of(faces))
        landmarks, evidence = output.priors.points_and_evidence(self.rim.hr_size)
        return HallucinatedFaces(
            bicubic=_zero_to_one(enlarged),
            coarse=_zero_to_one(output.coarse),
            sr=_zero_to_one(output.sr),
            heatmaps={scheme: maps.float().cpu() for scheme, maps in evidence.items()},
            landmarks={scheme: points.cpu() for scheme, points in landmarks.items()},
            parsing=output.priors.parsing_logits.argmax(1).cpu(),  # (B, classes, h, w) -> (B, h, w)
            size=sizes_of(faces),
        )

    def _check_finite(self, similarity: float, threshold: float) -> None:
        if not (math.isfinite(similarity) and math.isfinite(threshold)):
            raise ValueError(
                f"The model {self.fingerprint} compares {similarity:g} with the threshold {threshold:g}, which is no "
                "answer: use another model, or another calibration."
            )

    def _embed_probes(self, faces: Iterable[AlignedFace]) -> Tensor:
        """Embed probes batch by batch, while they are read."""
        return self._embed(lambda block: self.embedder.probe(self._stacked(block), sizes_of(block)), faces)

    def _embed_gallery(self, faces: Iterable[AlignedFace]) -> Tensor:
        """Embed sharp faces batch by batch, while they are read."""
        return self._embed(lambda block: self.embedder.gallery(self._stacked(block)), faces)

    def _embed(self, embed: Callable[[list[AlignedFace]], Tensor], faces: Iterable[AlignedFace]) -> Tensor:
        blocks = batches(faces, self.batch_size)
        return check_embeddings(torch.cat([embed(block).cpu() for block in blocks]), self.fingerprint)

    def _stacked(self, faces: list[AlignedFace]) -> Tensor:
        return torch.stack([face.pixels for face in faces]).to(self.device)  # (B, 3, S, S)


def sizes_of(faces: Iterable[AlignedFace]) -> Tensor:
    """Return the sides by which faces are judged, (B,) float32 in pixels: what a network reads as their sizes."""
    return torch.tensor([face.size for face in faces])


SAME_PICTURE = "the probe and the gallery picture are the same picture, which no rate is about"
"""Said of a comparison of a picture with itself."""


def _copies_named(probes: Sequence[AlignedFace], gallery: Sequence[AlignedFace]) -> Iterator[str]:
    """Yield a sentence for copies of pictures on each side, and on both."""
    contents = []
    for faces, what in ((probes, "probes"), (gallery, "gallery pictures")):
        contents.append({face.content() for face in faces})
        if copies := len(faces) - len(contents[-1]):
            are_copies = "is a copy and does" if copies == 1 else "are copies and do"
            yield f"{copies} of {len(faces)} {what} {are_copies} not count"
    if contents[0] & contents[1]:
        yield SAME_PICTURE


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {scheme: torch.cat([part[scheme] for part in parts]) for scheme in parts[0]}


def pool(embeddings: Tensor, sizes: Sequence[float] | None = None) -> Tensor:
    """Pool the embeddings of one person into one template: their mean, of length 1.

    Args:
        embeddings: (B, E), each of length 1.
        sizes: Sides of the probes in pixels, B of them: their mean is weighted by `probe_weights`. None for pictures of
            the gallery, which weigh the same.

    Returns:
        (E,), of length 1.
    """
    if sizes is None or len(set(sizes)) == 1:
        return F.normalize(embeddings.mean(0), dim=0)
    return F.normalize(torch.tensor(probe_weights(sizes), dtype=embeddings.dtype) @ embeddings, dim=0)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, as soon as each is complete; the last one may be shorter.

    Args:
        items: Anything that is iterated over once.
        size: Number of items in a list.

    Yields:
        The lists.
    """
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _zero_to_one(image: Tensor) -> Tensor:
    """Bring RGB in [-1, 1] to [0, 1], on the CPU."""
    return ((image.float() + 1) / 2).clamp(0, 1).cpu()
