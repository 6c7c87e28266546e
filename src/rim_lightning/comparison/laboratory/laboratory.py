"""Figures of the trained systems on the faces and pairs of the tables; whatever is slow is kept."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from rim_lightning.comparison.laboratory.cost import _cost, faces_of
from rim_lightning.comparison.laboratory.embedding_cache import EmbeddingStore
from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER, Parts, Reading, Side, parts_of
from rim_lightning.comparison.plan.plan import NotTrained, Plan, Run
from rim_lightning.data.dataset import face_batches
from rim_lightning.evaluation.protocols import FaceSet, PairSet, SearchSet
from rim_lightning.evaluation.verification import verification_figures
from rim_lightning.files import file_digest, write_json
from rim_lightning.functional.bootstrap import mean_interval, person_resampled_tar, seed_interval
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.identification import first_ranks
from rim_lightning.functional.verification import cosine_similarity, kfold_decisions
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.networks.checkpoints import load_network
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import load_teacher
from rim_lightning.types import UNLABELED, FaceBatch

CROSS_SAMPLES = 300  # resamples of people; each one sorts nothing, but goes through all pairs


class Trained(NamedTuple):
    """A system that can be measured. Attributes: title. digest: of its weights. make: loads it, in eval mode."""

    title: str
    digest: str
    make: Callable[[], nn.Module]


class Verified(NamedTuple):
    """A system on a set of pairs, over its seeds.

    Attributes:
        figures: as `verification_figures`, means over the seeds, and "accuracy_seeds", their standard deviation where
            there are several.
        correct: (S, P) whether each seed decides the pair correctly. scores: (P,) of the first seed.
    """

    figures: dict[str, float]
    correct: Tensor
    scores: Tensor


class CrossTar(NamedTuple):
    """TAR over all pairs of a gallery with a probe image.

    Attributes: rates: (S,) by seed. resampled: (S, B) with people drawn anew, alike for every system.
    """

    rates: Tensor
    resampled: Tensor


class Quality(NamedTuple):
    """A hallucination network on a set of faces, over its seeds.

    Attributes:
        psnr: (S, N) dB of Y, by seed. ssim, identity: (N,) SSIM of Y, cosine of the teacher's embeddings of the made
            and the true face; means over the seeds.
        nme: percent of the eye distance, miou: in [0, 1]; NaN where the network has no such prior.
    """

    psnr: Tensor
    ssim: Tensor
    identity: Tensor
    nme: float
    miou: float


class Laboratory:
    """Measures systems by name.

    Args:
        plan: of the training. teacher_weights: {"weight_format", "path"} of the pretrained recognizer.
        lr_size: nominal side of a probe. folder: where slow results are kept. flip, device: see `EmbeddingStore`.
    """

    def __init__(
        self,
        plan: Plan,
        teacher_weights: Mapping[str, str],
        lr_size: int,
        folder: Path,
        flip: bool = False,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.lr_size = lr_size
        self.folder = folder
        self.device = torch.device(device)
        self.embeddings = EmbeddingStore(folder / "embeddings", flip, device)
        self.teacher_weights = teacher_weights
        self._teacher: GuidedRecognizer | None = None
        self._loaded: dict[Path, nn.Module] = {}
        (folder / "quality").mkdir(parents=True, exist_ok=True)
        (folder / "cost").mkdir(parents=True, exist_ok=True)

    def seeds(self, name: str) -> list[Trained]:
        """The trained networks of a system, one a seed.

        Raises:
            NotTrained: one of its runs is not finished.
        """
        if name == TEACHER:
            return [Trained(name, file_digest(self.teacher_weights["path"]), self.teacher)]
        if name == BICUBIC:
            return [Trained(name, BICUBIC, lambda: build_super_resolver(BICUBIC))]
        if name not in self.plan.systems:
            raise NotTrained(Run("", self.folder, (), name, ()))
        runs = self.plan.runs(name)
        for run in runs:
            if not run.finished():
                raise NotTrained(run)
        return [Trained(run.title, run.digest(), lambda run=run: self._load(run)) for run in runs]

    def faces_seen(self, name: str) -> int:
        """How many faces the run of a system showed it, with those of the hallucination network that it starts from.

        The trials of learning rates and a teacher's training are not among them. Raises as `seeds`.
        """
        if name in (TEACHER, BICUBIC):
            return 0
        self.seeds(name)
        before = self.plan.systems[name].after
        return self.plan.runs(name)[0].faces() + (self.faces_seen(before) if before is not None else 0)

    def teacher(self) -> GuidedRecognizer:
        """The pretrained recognizer."""
        if self._teacher is None:
            self._teacher = GuidedRecognizer(load_teacher(**self.teacher_weights)).eval().to(self.device)
        return self._teacher

    def verify(
        self, reading: Reading, pairs: PairSet, size: int, degradation: str = "bicubic", seeds: int | None = None
    ) -> Verified:
        """Verification of pairs whose probe has `size` pixels, by the first `seeds` seeds; raises as `seeds`."""
        scores = self.scores(reading, pairs, size, degradation, seeds)
        found = [verification_figures(score, pairs.same, pairs.fold) for score in scores]
        correct = torch.stack([kfold_decisions(score, pairs.same, pairs.fold)[0] for score in scores])
        figures = {key: sum(each[key] for each in found) / len(found) for key in found[0]}
        if len(found) > 1:
            figures["accuracy_low"], figures["accuracy_high"] = mean_interval(correct, _generator())
            figures["accuracy_seeds"] = seed_interval([each["accuracy"] for each in found])[1]
        return Verified(figures, correct, scores[0])

    def scores(
        self, reading: Reading, pairs: PairSet, size: int, degradation: str = "bicubic", seeds: int | None = None
    ) -> list[Tensor]:
        """(P,) cosines of the pairs, one tensor a seed (of the first `seeds` ones); raises as `seeds`."""
        count = len(self.seeds(reading.system)[:seeds])
        low = Side(size, degradation)
        return [cosine_similarity(*self._sides(reading, pairs, low, number)) for number in range(count)]

    def _sides(self, reading: Reading, pairs: PairSet, low: Side, seed: int) -> tuple[Tensor, Tensor]:
        """(P, E) gallery and probe embeddings of the pairs by the seed of that number."""
        trained = keeper = self.seeds(reading.system)[seed]
        if reading.gallery_of is not None:
            keepers = self.seeds(reading.gallery_of)
            keeper = keepers[seed % len(keepers)]
        probes = pairs.faces if pairs.probes is None else pairs.probes
        gallery_side, probe_side = low if reading.low_gallery else Side(None), Side(None) if reading.sharp else low
        gallery = self._embed(keeper, reading.gallery, gallery_side, pairs.faces, pairs.gallery, pairs.title, None)
        return gallery, self._embed(trained, reading.probe, probe_side, probes, pairs.probe, pairs.title, reading.sr)

    def cross_tar(self, reading: Reading, pairs: PairSet, far: float) -> CrossTar | None:
        """TAR at a FAR over ALL pairs of a gallery with a probe image of the list; see `person_resampled_tar`.

        None also where the people are not known. Raises as `seeds`.
        """
        if pairs.identity is None:
            return None
        low = Side(self.lr_size)
        sides = [self._sides(reading, pairs, low, number) for number in range(len(self.seeds(reading.system)))]
        kept = [self._cross_tar(*each, pairs, far) for each in sides]
        if None in kept:
            return None
        rates, resampled = (torch.tensor(each, dtype=torch.float64) for each in zip(*kept, strict=True))
        return CrossTar(rates, resampled)

    def _cross_tar(self, gallery: Tensor, probe: Tensor, pairs: PairSet, far: float) -> list | None:
        """[TAR, its resamples] of one seed."""
        key = hashlib.sha256(json.dumps([far, CROSS_SAMPLES]).encode())
        for decides in (gallery, probe, pairs.gallery, pairs.probe, pairs.identity):
            key.update(decides.numpy().tobytes())
        file = self.folder / "all_pairs" / f"{key.hexdigest()[:16]}.json"
        if not file.is_file():
            first, second = pairs.gallery.unique(), pairs.probe.unique()
            vectors = [torch.zeros(len(pairs.names), each.shape[1]) for each in (gallery, probe)]
            vectors[0][pairs.gallery], vectors[1][pairs.probe] = gallery, probe
            scores = vectors[0][first] @ vectors[1][second].T
            itself = first[:, None] == second[None, :]
            owners = (pairs.identity[first], pairs.identity[second])
            found = person_resampled_tar(scores, *owners, far, _generator(), CROSS_SAMPLES, left_out=itself)
            file.parent.mkdir(exist_ok=True)
            write_json(file, found and [found[0], found[1].tolist()])
        return json.loads(file.read_text())

    def search(self, reading: Reading, people: SearchSet, size: int) -> Tensor:
        """(K,) rank of the right person of each probe, of the first seed; probes of `size` pixels unless they are so by
        nature. Raises as `seeds`.
        """
        trained = self.seeds(reading.system)[0]
        keeper = trained if reading.gallery_of is None else self.seeds(reading.gallery_of)[0]
        side = Side(None) if people.native else Side(size)
        shared = (people.faces,)
        gallery = self._embed(keeper, reading.gallery, Side(None), *shared, people.gallery, people.title, None)
        probe = self._embed(trained, reading.probe, side, *shared, people.probe, people.title, reading.sr)
        return first_ranks(probe @ gallery.T, people.identity[people.probe], people.identity[people.gallery])

    def quality(self, name: str, faces: FaceSet) -> Quality:
        """Image quality of the faces that a hallucination network makes of probes of the nominal size."""
        kept = [self._quality(trained, faces, self.lr_size) for trained in self.seeds(name)]
        psnr, ssim, identity = (
            torch.tensor([each[key] for each in kept], dtype=torch.float64) for key in ("psnr", "ssim", "identity")
        )
        nme, miou = (sum(each[key] for each in kept) / len(kept) for key in ("nme", "miou"))
        return Quality(psnr, ssim.mean(0), identity.mean(0), nme, miou)

    def cost(self, name: str, part: str, hr_size: int) -> dict[str, float]:
        """Inference of one face by a part of a system ("sr_face": the hallucinated face): "parameters" that it uses,
        "gflop" (a multiply-add is two) and "faces_per_s" of one CPU thread in batches of 16.
        """
        trained = self.seeds(name)[0]
        key = hashlib.sha256(json.dumps([trained.digest, part, hr_size]).encode()).hexdigest()[:16]
        file = self.folder / "cost" / f"{key}.json"
        if not file.is_file():
            write_json(file, _cost(copy.deepcopy(trained.make()).cpu(), part, hr_size))
        return json.loads(file.read_text())

    def hallucinate(self, name: str, enlarged: Tensor) -> Tensor:
        """(B, 3, S, S) probes -> the faces that the first seed of a hallucination network makes of them."""
        with torch.no_grad():
            return faces_of(self.seeds(name)[0].make())(enlarged.to(self.device)).cpu()

    def _embed(
        self,
        trained: Trained,
        part: str,
        side: Side,
        faces: Dataset[FaceBatch],
        positions: Tensor,
        title: str,
        sr: str | None,
    ) -> Tensor:
        other = None if sr is None else self.seeds(sr)[0]

        def parts() -> Parts:
            return parts_of(trained.make(), part, None if other is None else other.make())

        unique, place = positions.unique(return_inverse=True)
        # A student's embeddings lie beside those of the whole.
        kept_as = "probe" if part == "student" else part
        digest = f"{trained.digest} {kept_as}" + ("" if other is None else f" after {other.digest}")
        shown = "sharp" if side.size is None else f"{side.size} px {side.degradation}"
        title = f"{trained.title}: {title}, {shown}"
        return self.embeddings.of(digest, side, parts, faces, unique.tolist(), title)[part][place]

    def _load(self, run: Run) -> nn.Module:
        if run.checkpoint not in self._loaded:
            self._loaded = dict(list(self._loaded.items())[-3:])  # three of them and this one fit any memory
            self._loaded[run.checkpoint] = load_network(run.checkpoint).to(self.device)
        return self._loaded[run.checkpoint]

    @torch.no_grad()
    def _quality(self, trained: Trained, faces: FaceSet, size: int) -> dict:
        judge = file_digest(self.teacher_weights["path"])
        key = hashlib.sha256(json.dumps([trained.digest, faces.digest, size, judge]).encode()).hexdigest()[:16]
        file = self.folder / "quality" / f"{key}.json"
        if file.is_file():
            return json.loads(file.read_text())
        (teacher,) = self.seeds(TEACHER)
        everyone = torch.arange(len(faces.faces))
        sharp = self._embed(teacher, "gallery", Side(None), faces.faces, everyone, faces.title, None).to(self.device)
        network, teacher = trained.make(), self.teacher()
        quality, identity = ImageQuality("y").to(self.device), []
        priors = isinstance(network, RIM)
        schemes = [s for s in network.fhn.generator.heatmap_heads if s in faces.faces.schemes] if priors else []
        nme = [NormalizedMeanError(scheme).to(self.device) for scheme in schemes[:1]]
        iou = ParsingIoU().to(self.device)
        for batch in face_batches(faces.faces, 32, self.device, f"{trained.title}: faces of {faces.title}"):
            enlarged = synthesize_probe(batch.hr, torch.full((len(batch.hr),), size))
            made = network.fhn(enlarged) if priors else None
            sr = (made.sr if priors else network(enlarged)).float()
            quality.update(sr, batch.hr, batch.index)
            identity += cosine_similarity(teacher.embed_gallery(sr.clamp(-1, 1)), sharp[batch.index]).tolist()
            for metric, scheme in zip(nme, schemes[:1], strict=True):
                points = decode_heatmaps(made.priors.heatmaps[scheme], batch.hr.shape[-1])
                metric.update(points, batch.landmarks[scheme], batch.index)
            if priors and (batch.parsing != UNLABELED).any():
                iou.update(made.priors.parsing, batch.parsing, batch.index)
        images = quality.per_image()
        found = {
            "psnr": images["psnr"].tolist(),
            "ssim": images["ssim"].tolist(),
            "identity": identity,
            "nme": nme[0].compute().item() if nme else float("nan"),
            "miou": iou.compute().item() if iou.update_called else float("nan"),
        }
        write_json(file, found)
        return found


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
