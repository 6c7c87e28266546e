"""Figures of the trained systems, by name, on the faces and pairs of the tables."""

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.all_pairs import AllPairs, all_pairs_cost, all_pairs_tar, compare_all
from rim_lightning.comparison.laboratory.compute_once import compute_once
from rim_lightning.comparison.laboratory.cost import measure_cost
from rim_lightning.comparison.laboratory.embedding_cache import EmbeddingCache
from rim_lightning.comparison.laboratory.quality import Quality, measure_quality
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading, Side, as_hallucinator, embed_part
from rim_lightning.comparison.laboratory.trained import Trained, TrainedNetworks
from rim_lightning.comparison.plan.plan import Plan
from rim_lightning.evaluation.figures import verification_figures
from rim_lightning.evaluation.hallucination import hallucinate
from rim_lightning.evaluation.protocols import FaceSet, FaceSource, PairSet, SearchSet
from rim_lightning.evaluation.verification import Embedder
from rim_lightning.files import file_digest
from rim_lightning.functional.bootstrap import SeedFigures, mean_interval, seed_interval
from rim_lightning.functional.likelihood_ratio import fit_bounded
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind
from rim_lightning.functional.verification import cosine_similarity, kfold_decisions


class Verified(NamedTuple):
    """A system on a set of P pairs, over its S seeds.

    Attributes:
        figures: Those of `verification_figures`, means over the seeds; of several seeds also "accuracy_seeds", the
            standard deviation of their accuracies.
        correct: Which pairs each seed decides correctly, (S, P) bool.
        scores: Cosines of the first seed, (P,).
        trained: False for the pretrained teacher, which another seed would not change.
    """

    figures: dict[str, float]
    correct: Tensor
    scores: Tensor
    trained: bool = True


class RatioQuality(NamedTuple):
    """How good likelihood ratios are, over the seeds of a system.

    Attributes:
        cost: Cllr of every seed, with its resamples over people.
        least: Mean over the seeds of Cllr_min, the least cost of any rising function of the similarity.
    """

    cost: SeedFigures
    least: float


class Laboratory:
    """Measures systems by name.

    Every method that takes the name of a system, or a `Reading`, raises `NotTrained` if one of its runs is not
    finished, and OSError or ValueError if a checkpoint is missing or damaged.

    Args:
        plan: The training runs of the systems.
        teacher_weights: {"weight_format", "path"} of the pretrained recognizer.
        lr_size: Nominal side of a probe in pixels.
        folder: Folder of slow results, which later calls use again.
        flip: True to average every embedding with that of the mirrored face.
        device: Device of the networks.
    """

    def __init__(
        self,
        plan: Plan,
        teacher_weights: Mapping[str, Any],
        lr_size: int,
        folder: Path,
        flip: bool = False,
        device: str = "cpu",
    ) -> None:
        self.networks = TrainedNetworks(plan, teacher_weights, torch.device(device))
        self.embeddings = EmbeddingCache(folder / "embeddings", flip, device)
        self.lr_size = lr_size
        self.folder = folder
        self.device = torch.device(device)

    # ---- recognition ------------------------------------------------------------------------------------------------

    def verify(
        self, reading: Reading, pairs: PairSet, size: int, kind: ProbeKind = CLEAN, seeds: int | None = None
    ) -> Verified:
        """Verify pairs.

        Args:
            reading: Systems that embed the two sides of the pairs.
            pairs: The pairs.
            size: Side of the probes in pixels.
            kind: How the probes are made.
            seeds: Number of seeds to measure; None measures all.
        """
        scores = self.scores(reading, pairs, size, kind, seeds)
        figures_of = [verification_figures(score, pairs.same, pairs.fold) for score in scores]
        correct = torch.stack([kfold_decisions(score, pairs.same, pairs.fold)[0] for score in scores])  # (S, P)
        figures = {key: sum(figures[key] for figures in figures_of) / len(figures_of) for key in figures_of[0]}
        if len(figures_of) > 1:
            low, high = mean_interval(correct, torch.Generator().manual_seed(0))
            figures["accuracy_low"], figures["accuracy_high"] = max(low, 0.0), min(high, 1.0)
            figures["accuracy_seeds"] = seed_interval([figures["accuracy"] for figures in figures_of])[1]
        return Verified(figures, correct, scores[0], reading.system != TEACHER)

    def scores(
        self, reading: Reading, pairs: PairSet, size: int, kind: ProbeKind = CLEAN, seeds: int | None = None
    ) -> list[Tensor]:
        """Return the cosines of the pairs, (P,) per seed; arguments as for `verify`."""
        count = len(self.networks.seeds(reading.system)[:seeds])
        low = Side(size, *kind)
        return [cosine_similarity(*self._embed_pairs(reading, pairs, low, seed)) for seed in range(count)]

    def all_pairs_tar(
        self, reading: Reading, pairs: PairSet, far: float, size: int | None = None, kind: ProbeKind = CLEAN
    ) -> SeedFigures | None:
        """Return the TAR over ALL pairs of a gallery with a probe image.

        Args:
            reading: Systems that embed the two sides of the pairs.
            pairs: The list of which the images are taken.
            far: False accept rate.
            size: Side of the probes in pixels; None for the nominal size.
            kind: How the probes are made.

        Returns:
            TAR of every seed with its resamples; None if the people are unknown or too few impostor pairs decide.
        """
        if pairs.identity is None:
            return None
        low = Side(size or self.lr_size, *kind)
        count = len(self.networks.seeds(reading.system))
        sides = [self._embed_pairs(reading, pairs, low, seed) for seed in range(count)]
        folder = self.folder / "all_pairs"
        results = [all_pairs_tar(folder, gallery, probe, pairs, far) for gallery, probe in sides]
        if None in results:
            return None
        rates, resampled = (torch.tensor(values, dtype=torch.float64) for values in zip(*results, strict=True))
        return SeedFigures(rates, resampled, reading.system != TEACHER)

    def likelihood_ratios(
        self, reading: Reading, pairs: PairSet, calibration: PairSet, size: int, kind: ProbeKind = CLEAN
    ) -> RatioQuality | None:
        """Measure likelihood ratios, fitted to one list, over ALL pairs of the images of another one.

        Args:
            reading: Systems that embed the two sides of the pairs.
            pairs: The list of which the images are taken.
            calibration: The list that the ratios are fitted to, whose people are known.
            size: Side of the probes in pixels.
            kind: How the probes are made, on both lists.

        Returns:
            The cost; None if the people of one of the lists are unknown.
        """
        if pairs.identity is None or calibration.identity is None:
            return None
        low = Side(size, *kind)
        people = len(calibration.identity[torch.cat([calibration.gallery, calibration.probe])].unique())
        same = calibration.same.numpy()
        results = []
        for seed in range(len(self.networks.seeds(reading.system))):
            cosines = cosine_similarity(*self._embed_pairs(reading, calibration, low, seed))
            ratio = fit_bounded(cosines.double().numpy(), same, people)
            sides = self._embed_pairs(reading, pairs, low, seed)
            results.append(all_pairs_cost(self.folder / "all_pairs", *sides, pairs, ratio))
        costs, resampled, least = zip(*results, strict=True)
        trained = reading.system != TEACHER
        figures = SeedFigures(torch.tensor(costs), torch.tensor(resampled, dtype=torch.float64), trained)
        return RatioQuality(figures, sum(least) / len(least))

    def all_pairs(self, reading: Reading, pairs: PairSet, size: int, kind: ProbeKind = CLEAN) -> AllPairs:
        """Compare every gallery image of a list with every probe image, by the first seed.

        Args:
            reading: Systems that embed the two sides of the pairs.
            pairs: The list of which the images are taken, whose people are known.
            size: Side of the probes in pixels.
            kind: How the probes are made.

        Raises:
            ValueError: If the people are unknown.
        """
        return compare_all(*self._embed_pairs(reading, pairs, Side(size, *kind), 0), pairs)

    def search(self, reading: Reading, people: SearchSet, size: int) -> Tensor:
        """Compare each probe with the gallery, by the first seed.

        Args:
            reading: Systems that embed gallery and probes.
            people: Gallery and probes.
            size: Side of the probes in pixels, unless they are small by nature.

        Returns:
            Cosines of the K probes with the G gallery images, (K, G).
        """
        probe_reader = self.networks.seeds(reading.system)[0]
        gallery_reader = probe_reader if reading.gallery_of is None else self.networks.seeds(reading.gallery_of)[0]
        side = Side(None, "native") if people.native else Side(size)
        faces, title = people.faces, people.title
        gallery = self._embed(gallery_reader, reading.gallery, Side(None), faces, people.gallery, title, None)
        probe = self._embed(probe_reader, reading.probe, side, faces, people.probe, title, reading.sr)
        return probe @ gallery.T

    def _embed_pairs(self, reading: Reading, pairs: PairSet, low: Side, seed: int) -> tuple[Tensor, Tensor]:
        """Return the embeddings of both sides of the pairs by one seed, (P, E) each: gallery, then probe."""
        probe_reader = gallery_reader = self.networks.seeds(reading.system)[seed]
        if reading.gallery_of is not None:
            readers = self.networks.seeds(reading.gallery_of)
            gallery_reader = readers[seed % len(readers)]
        gallery_side = low if reading.low_gallery else Side(None)
        probe_side = Side(None) if reading.sharp else low
        probes = pairs.faces if pairs.probes is None else pairs.probes
        gallery = self._embed(
            gallery_reader, reading.gallery, gallery_side, pairs.faces, pairs.gallery, pairs.title, None
        )
        probe = self._embed(probe_reader, reading.probe, probe_side, probes, pairs.probe, pairs.title, reading.sr)
        return gallery, probe

    def _embed(
        self, trained: Trained, part: str, side: Side, faces: FaceSource, positions: Tensor, title: str, sr: str | None
    ) -> Tensor:
        """Return the embeddings of faces by a part of a network, one row per position."""
        hallucination = None if sr is None else self.networks.seeds(sr)[0]
        unique, row = positions.unique(return_inverse=True)
        # RIM computes these three in one pass: they are stored in one file.
        together = part in ("student", "probe", "sr") and hallucination is None
        digest = f"{trained.digest} {'one pass' if together else part}"
        if hallucination is not None:
            digest += f" after {hallucination.digest}"
        probe = "sharp" if side.size is None else f"{side.size} px {ProbeKind(*side[1:]).in_words()}"
        title = f"{trained.title}: {title}, {probe}"
        load = partial(_load_embedder, trained, part, hallucination, side)
        return self.embeddings.embed(digest, side, load, faces, unique.tolist(), title)[part][row]

    # ---- hallucination ----------------------------------------------------------------------------------------------

    def quality(self, name: str, faces: FaceSet) -> Quality:
        """Measure the faces that a hallucination network makes of probes of the nominal size."""
        results = [self._quality_of(trained, faces) for trained in self.networks.seeds(name)]
        psnr, ssim, identity = (
            torch.tensor([result[key] for result in results], dtype=torch.float64)  # (S, N)
            for key in ("psnr", "ssim", "identity")
        )
        nme, miou = (sum(result[key] for result in results) / len(results) for key in ("nme", "miou"))
        return Quality(psnr, ssim.mean(0), identity.mean(0), nme, miou)

    def _quality_of(self, trained: Trained, faces: FaceSet) -> dict[str, Any]:
        judge = file_digest(self.networks.teacher_weights["path"])
        key = [trained.digest, faces.digest, self.lr_size, judge]
        return compute_once(self.folder / "quality", key, partial(self._measure_quality, trained, faces))

    def _measure_quality(self, trained: Trained, faces: FaceSet) -> dict[str, Any]:
        (teacher,) = self.networks.seeds(TEACHER)
        everyone = torch.arange(len(faces.dataset))
        sharp = self._embed(teacher, "gallery", Side(None), faces.dataset, everyone, faces.title, None).to(self.device)
        network = as_hallucinator(trained.load())
        title = f"{trained.title}: faces of {faces.title}"
        return measure_quality(network, faces, self.lr_size, self.networks.teacher(), sharp, title)

    @torch.no_grad()
    def hallucinate(self, name: str, enlarged: Tensor) -> Tensor:
        """Return the faces that the first seed of a hallucination network makes.

        Args:
            name: Name of the system.
            enlarged: Enlarged probes of the nominal size, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Faces of the same shape, RGB around [-1, 1], on the CPU.
        """
        network = as_hallucinator(self.networks.seeds(name)[0].load())
        return hallucinate(network, enlarged.to(self.device), torch.full((len(enlarged),), self.lr_size)).cpu()

    # ---- cost -------------------------------------------------------------------------------------------------------

    def training_work(self, name: str) -> float:
        """Return the TFLOP of the training of a system, see `TrainedNetworks.work_done`."""
        return self.networks.work_done(name, self.folder / "gflop")

    def cost(self, name: str, part: str, hr_size: int) -> dict[str, float]:
        """Measure the inference of one face by the first seed of a system on the CPU; see `measure_cost`."""
        trained = self.networks.seeds(name)[0]
        measure = partial(_measure_cost, trained, part, hr_size)
        return compute_once(self.folder / "cost", [trained.digest, part, hr_size], measure)


def _load_embedder(trained: Trained, part: str, hallucination: Trained | None, side: Side) -> Embedder:
    source = None if hallucination is None else hallucination.load()
    return partial(embed_part, trained.load(), part, source, side)


def _measure_cost(trained: Trained, part: str, hr_size: int) -> dict[str, float]:
    return measure_cost(copy.deepcopy(trained.load()).cpu(), part, hr_size)
