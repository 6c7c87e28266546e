"""The choice of thresholds on people whom the model was not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.functional.fixed_thresholds import PairsOfPeople
from rim_lightning.functional.likelihood_ratio import cllr, cllr_min, fit_bounded, with_fewer_strangers
from rim_lightning.functional.open_set import SearchedPeople
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind
from rim_lightning.functional.verification import thresholds_at_fars
from rim_lightning.inference.calibration import COUNTS, FARS, PROBE_SIZES, Calibration
from rim_lightning.inference.people import FaceSource, People, embed_people
from rim_lightning.inference.quality import QUALITY_FAR, MissedPairs, QualityModel, fit_quality
from rim_lightning.inference.search_calibration import FPIRS, GALLERIES, SearchCalibration
from rim_lightning.networks.probe_signals import SIGNALS
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import SizeCurve

MIN_SEARCHED_PEOPLE = 5
"""Smallest number of people who are taken for somebody else at the threshold of a search."""

ENOUGH_PEOPLE = 30
"""Number of people with enough pictures for templates of some number of pictures; of few people half suffice."""


def calibrate(
    rim: RIM,
    faces: FaceSource,
    title: str,
    digest: str,
    sizes: Sequence[int] = PROBE_SIZES,
    fars: Sequence[float] = FARS,
    counts: Sequence[int] = COUNTS,
    batch_size: int = 64,
    kind: ProbeKind = CLEAN,
) -> Calibration:
    """Choose thresholds for a network that is used without averaged looks and mixture, see `thresholds_of`.

    Args:
        rim: Trained network.
        faces: Faces of two or more people whom nothing was trained on, one of them with two or more images.
        title: Name of the set of people, for the card.
        digest: SHA-256 of the manifest of the set.
        sizes: Sides of the probes in pixels, ascending. Those above `rim.hr_size` are skipped.
        fars: False accept rates.
        counts: Numbers of images in a template, see `thresholds_of`.
        batch_size: Number of faces that go through the network at a time.
        kind: How the probes are made. The position of a face is the seed of its probes.

    Returns:
        The thresholds.

    Raises:
        ValueError: If the faces have no pair of one person, or no pair of two people.
    """
    people = embed_people(rim, faces, title, digest, sizes, kind, batch_size=batch_size)
    return thresholds_of(people, fars, counts)


def thresholds_of(
    people: People,
    fars: Sequence[float] = FARS,
    counts: Sequence[int] = COUNTS,
    reduced_gallery: SizeCurve | None = None,
) -> Calibration:
    """Choose thresholds on all pairs of a sharp image and another image as probe, and of templates of several images.

    A template of n images is an image and the n - 1 that follow it among those of its person. Templates that share an
    image make no pair.

    Args:
        people: Embeddings of two or more people whom nothing was trained on, one of them with two or more images.
        fars: False accept rates.
        counts: Numbers of images in a template: ascending, from 1. n is skipped if fewer than two people, or fewer
            than half of them and fewer than `ENOUGH_PEOPLE`, have 2n images.
        reduced_gallery: See `Usage.reduced_gallery`; the people then have embeddings of reduced images.

    Returns:
        The thresholds.

    Raises:
        ValueError: If the people have no pair of one person, or no pair of two people.
    """
    counts = _usable_counts(people, counts)
    cells = (len(counts), len(counts), len(people.probes))
    points = np.full((*cells, len(fars), 6), np.nan)
    ratios = np.empty((*cells, 5))
    genuine = impostors = 0
    for (i, probe_count), (j, gallery_count) in itertools.product(enumerate(counts), repeat=2):
        compared: ComparedTemplates | None = None
        for k, size in enumerate(people.probes):
            if compared is None or people.has_probe:  # else all sizes have the same templates
                compared = compared_templates(people, size, gallery_count, probe_count)
            scores = template_scores(people, size, compared, reduced_gallery)  # (pairs,)
            thresholds = thresholds_at_fars(scores, compared.pairs.same, fars)
            points[i, j, k] = [_point(compared.pairs, scores, threshold) for threshold in thresholds]
            ratios[i, j, k] = _ratio(compared.pairs, scores)
            if probe_count == gallery_count == 1:
                genuine = max(genuine, int(compared.pairs.same.sum()))
                impostors = max(impostors, int((~compared.pairs.same).sum()))
    ranges = (tuple(counts), tuple(people.probes), tuple(fars))
    about = (people.title, people.digest, len(people.identity.unique()), genuine, impostors)
    return Calibration(
        *about,
        *ranges,
        thresholds=points[..., 0],
        frrs=points[..., 1],
        synthetic=people.synthetic,
        probes=people.made or people.kind.in_words(),
        intervals=points[..., 2:],
        ratios=ratios,
        not_acquired=tuple(people.not_acquired[size] for size in people.probes) if people.not_acquired else None,
        searches=_searches(people),
        quality=quality_of(people),
    )


def compared_pictures(people: People, size: int) -> tuple[Tensor, Tensor]:
    """Compare all pairs of two single pictures: a sharp one, and another one as a probe.

    Args:
        people: Embeddings of two or more people, one of them with two or more images.
        size: Side of the probes in pixels, a key of `people.probes`.

    Returns:
        Similarities, (P,), and which pairs are of one person, (P,) bool.

    Raises:
        ValueError: If the people have no pair of one person, or no pair of two people.
    """
    compared = compared_templates(people, size, 1, 1)
    return template_scores(people, size, compared, None), compared.pairs.same


def quality_of(people: People) -> QualityModel | None:
    """Fit what the signals of a probe say of its quality, on all pairs of a sharp image and another image as probe.

    Args:
        people: Embeddings of people whom nothing was trained on, with the signals of their probes.

    Returns:
        The model; None if there are no signals, or too few pairs decide at `QUALITY_FAR`.
    """
    probes: dict[int, MissedPairs] = {}
    for size, signals in people.signals.items():
        missed = missed_pairs(people, size, QUALITY_FAR)
        known = people.usable(size)[1] & signals.isfinite().all(1)
        if missed is not None and known.any():
            probes[size] = MissedPairs(signals[known].double().numpy(), *(counts[known.numpy()] for counts in missed))
    return fit_quality(SIGNALS, probes)


def missed_pairs(
    people: People, size: int, far: float, threshold: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Count the true pairs of each probe that lie below a threshold; each is compared with all other sharp images.

    Args:
        people: Embeddings of two or more people, one of them with two or more images.
        size: Side of the probes in pixels, a key of `people.probes`.
        far: False accept rate of the threshold.
        threshold: The threshold; None for that of these people.

    Returns:
        Number of pairs that are missed, and of all pairs of each image, (N,) each; None if too few pairs decide about
        the threshold. An image without a probe has none.
    """
    has_sharp, has_probe = people.usable(size)
    compared = has_sharp[:, None] & has_probe & ~torch.eye(len(people.identity), dtype=torch.bool)
    same = (people.identity[:, None] == people.identity) & compared
    scores = people.sharp @ people.probes[size].T
    if threshold is None:
        (threshold,) = thresholds_at_fars(scores[compared], same[compared], (far,))
    if np.isnan(threshold):
        return None
    missed = same & (scores < threshold)
    return missed.sum(0).double().numpy(), same.sum(0).double().numpy()


def _searches(people: People) -> SearchCalibration | None:
    """Choose thresholds of searches in galleries with one picture of each person; None for fewer than two people."""
    random = torch.Generator().manual_seed(0)
    blocks = []
    galleries: tuple[int, ...] = ()
    for size in people.probes:
        has_sharp, has_probe = people.usable(size)
        shown = people.identity[has_sharp].unique()
        images = [((people.identity == person) & has_sharp).nonzero()[:, 0] for person in shown]
        chosen = torch.stack([own[torch.randint(len(own), (), generator=random)] for own in images])
        probes = (has_probe & torch.isin(people.identity, shown)).nonzero()[:, 0]
        if len(shown) < 2 or not len(probes):
            return None
        searched = SearchedPeople(
            people.sharp[chosen] @ people.probes[size][probes].T,
            torch.searchsorted(shown, people.identity[probes]),
            chosen[:, None] != probes,
            torch.Generator().manual_seed(0),
        )
        galleries = galleries or tuple(count for count in GALLERIES if count <= searched.largest)
        blocks.append([[_search_point(searched, count, fpir) for fpir in FPIRS] for count in galleries])
    return SearchCalibration(tuple(people.probes), galleries, FPIRS, np.array(blocks))


def _search_point(searched: SearchedPeople, gallery: int, fpir: float) -> list[float]:
    """Return threshold, FNIR and the intervals of both rates; NaN if too few people would decide."""
    if gallery > searched.largest:
        return [np.nan] * 6
    rates = searched.rates(gallery, fpir)
    if rates.deciding < MIN_SEARCHED_PEOPLE:
        return [np.nan] * 6
    return [rates.threshold, rates.fnir, *rates.fpir_interval, *rates.fnir_interval]


class ComparedTemplates(NamedTuple):
    """Templates of a gallery and of probes, and all pairs of two that share no image.

    Attributes:
        in_gallery: (G, N): 1 where an image belongs to the template of the gallery, else 0.
        in_probe: (T, N), the same of probes.
        compared: (G, T) bool, which templates are compared.
        pairs: People of the compared pairs.
    """

    in_gallery: Tensor
    in_probe: Tensor
    compared: Tensor
    pairs: PairsOfPeople


def compared_templates(people: People, size: int, gallery_count: int, probe_count: int) -> ComparedTemplates:
    """List the templates of some numbers of images, and which are compared.

    Args:
        people: Embedded people.
        size: Side of the probes in pixels.
        gallery_count: Number of images of a template of the gallery.
        probe_count: Number of images of a template of a probe.

    Raises:
        ValueError: If there are no pairs of one person, or none of two.
    """
    has_sharp, has_probe = people.usable(size)
    in_gallery = _members(people.identity, has_sharp, gallery_count)
    in_probe = _members(people.identity, has_probe, probe_count)
    compared = in_gallery @ in_probe.T == 0
    row, column = compared.nonzero(as_tuple=True)
    gallery_person, probe_person = (people.identity[members.argmax(1)] for members in (in_gallery, in_probe))
    pairs = PairsOfPeople(gallery_person[row], probe_person[column], torch.Generator().manual_seed(0))
    if not pairs.same.any() or pairs.same.all():
        raise ValueError(f"{people.title} must show at least two people, one of them in two or more images.")
    return ComparedTemplates(in_gallery, in_probe, compared, pairs)


def _point(pairs: PairsOfPeople, scores: Tensor, threshold: float) -> list[float]:
    """Return threshold, false reject rate and the intervals of both rates; NaN if there is no threshold."""
    if np.isnan(threshold):
        return [np.nan] * 6
    rates = pairs.rates(scores, threshold)
    return [threshold, rates.frr, *rates.far_interval, *rates.frr_interval]


def _ratio(pairs: PairsOfPeople, scores: Tensor) -> list[float]:
    """Fit the likelihood ratio: intercept, slope, bound, cost and least cost, see `Calibration.ratios`."""
    chosen = with_fewer_strangers(pairs.same.numpy())
    values, same = scores.double().numpy()[chosen], pairs.same.numpy()[chosen]
    ratio = fit_bounded(values, same, pairs.people)
    return [*ratio, cllr(ratio.log10(values), same), cllr_min(values, same)]


def _usable_counts(people: People, counts: Sequence[int]) -> list[int]:
    """Leave out the sizes of templates for which too few people have images, see `thresholds_of`."""
    _, person = people.identity.unique(return_inverse=True)
    min_people = max(2, min(ENOUGH_PEOPLE, (int(person.max()) + 1) / 2))

    def is_usable(count: int, size: int) -> bool:
        has_sharp, has_probe = people.usable(size)
        sharp, probe, either = (person[has].bincount() for has in (has_sharp, has_probe, has_sharp | has_probe))
        enough = (_padded(sharp, either) >= count) & (_padded(probe, either) >= count) & (either >= 2 * count)
        return int(enough.sum()) >= min_people

    return [count for count in counts if count == 1 or all(is_usable(count, size) for size in people.probes)]


def _padded(counts: Tensor, like: Tensor) -> Tensor:
    """Return counts with zeros at their end, as many as another tensor has."""
    return F.pad(counts, (0, len(like) - len(counts)))


def template_scores(
    people: People, size: int, templates: ComparedTemplates, reduced_gallery: SizeCurve | None
) -> Tensor:
    """Return the scores of all compared templates of the gallery with those of probes of a size, (pairs,)."""
    probe = F.normalize(templates.in_probe @ people.probes[size])  # (T, E)
    scores = F.normalize(templates.in_gallery @ people.sharp) @ probe.T
    if reduced_gallery is not None:
        weight = float(reduced_gallery.at(torch.tensor([size])))
        reduced = F.normalize(templates.in_gallery @ people.reduced[size]) @ probe.T
        scores = (1 - weight) * scores + weight * reduced
    return scores[templates.compared]


def _members(identity: Tensor, usable: Tensor, count: int) -> Tensor:
    """List the templates of `count` images of one person.

    Args:
        identity: (N,) person of each image.
        usable: (N,) bool, which images may belong to a template.
        count: Number of images in a template.

    Returns:
        (templates, N) float32: 1 where an image belongs to the template, else 0.
    """
    rows = []
    for person in identity.unique():
        images = ((identity == person) & usable).nonzero().flatten()
        if len(images) < count:
            continue
        for start in range(len(images)):
            row = torch.zeros(len(identity))
            row[images.roll(-start)[:count]] = 1
            rows.append(row)
    return torch.stack(rows) if rows else torch.zeros(0, len(identity))
