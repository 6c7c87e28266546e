"""Verify pairs of a sharp gallery face and a reduced probe face: embeddings, scores, figures."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.dataset import face_batches
from rim_lightning.evaluation.figures import verification_figures
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.looks import looks
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from rim_lightning.functional.verification import cosine_similarity
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage

SYSTEMS = ("teacher_bicubic", "teacher_sr", "student", "rim")
"""Systems that read the probe; the gallery is always the sharp face, read by the teacher. "teacher_bicubic" is the
teacher on the enlarged probe, "teacher_sr" the teacher on the hallucinated face, "student" f_S, "rim" f_S + f_A."""

USED = ("mixture", "reduced_gallery")
"""Systems that the weights of a `Usage` add: RIM mixed with the teacher by size; and that, or RIM alone, with a score
that has the cosine to the gallery face reduced to the size of the probe, too."""

Embedder = Callable[[Tensor], dict[str, Tensor]]
"""Faces or enlarged probes (B, 3, S, S), RGB in [-1, 1] -> name -> (B, E) embeddings, not normalized."""

ProbesOfSizes = Callable[[Tensor, list[int]], Iterable[tuple[int, Tensor]]]
"""Sharp faces (B, 3, S, S) and their seeds -> sizes in pixels, each with the enlarged probes of that size."""


def embed_faces(embed: Embedder, faces: Tensor, flip: bool, shift: float = 0.0) -> dict[str, Tensor]:
    """Embed faces with embeddings of unit length, optionally adding those of more looks.

    Args:
        embed: Function that embeds faces.
        faces: Faces or enlarged probes, (B, 3, S, S), RGB in [-1, 1].
        flip: True to add the embedding of the mirrored face. The cosine of such sums is that of the mean embeddings.
        shift: Distance of four moved faces that are added, too, see `looks`.

    Returns:
        Name -> (B, E) float32 embeddings of unit length; with several looks the sum of theirs.
    """
    first, *others = looks(faces, flip, shift)
    embeddings = _unit(embed(first))
    for view in others:
        of_view = _unit(embed(view))
        embeddings = {name: embedding + of_view[name] for name, embedding in embeddings.items()}
    return embeddings


def _unit(embeddings: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: F.normalize(embedding.float(), dim=1) for name, embedding in embeddings.items()}


@torch.no_grad()
def evaluate_verification(
    rim: RIM, pairs: PairSet, probe_sizes: Sequence[int], usage: Usage, batch_size: int, kind: ProbeKind = CLEAN
) -> dict[str, float]:
    """Verify pairs by every system of `SYSTEMS`, those that the usage adds, and sharp against sharp by the teacher.

    Args:
        rim: The network, in eval mode.
        pairs: Pairs of faces of the model's HR size. Their probes are made of `pairs.faces`.
        probe_sizes: Sides of the probes in pixels.
        usage: Looks that are averaged by every system; and weights, which add the systems of `USED`.
        batch_size: Faces per batch.
        kind: How the probes are made. The position of a face is the seed of its probe.

    Returns:
        Figures "pairs", "hr/teacher/accuracy", "16/rim/accuracy" …: for sharp probes and for each probe size and
        system those of `verification_figures`.
    """
    is_probe = torch.zeros(len(pairs.faces), dtype=torch.bool)
    is_probe[pairs.probe] = True
    embeddings = _embed_pairs(rim, pairs, is_probe, partial(_probes_of_sizes, probe_sizes, kind), usage, batch_size)
    if usage.mixture is not None:
        embeddings |= {f"{size}/mixture": _mixed(embeddings, size, usage.mixture) for size in probe_sizes}
    row_of_probe = is_probe.cumsum(0) - 1  # (N,): row of a probe face among the probe embeddings
    gallery = embeddings["hr/teacher"][pairs.gallery]  # (P, E)
    figures: dict[str, float] = {"pairs": float(len(pairs.same))}
    for name, embedding in embeddings.items():
        rows = pairs.probe if name == "hr/teacher" else row_of_probe[pairs.probe]
        scores = cosine_similarity(gallery, embedding[rows])  # (P,)
        of_system = verification_figures(scores, pairs.same, pairs.fold)
        figures |= {f"{name}/{key}": value for key, value in of_system.items()}
    if usage.reduced_gallery is not None:
        reduced_faces = _embed_reduced(rim, pairs, probe_sizes, usage, batch_size)
        for size in probe_sizes:
            probe = embeddings[f"{size}/{'rim' if usage.mixture is None else 'mixture'}"][row_of_probe[pairs.probe]]
            weight = usage.reduced_gallery.at(torch.tensor([size]))
            reduced = cosine_similarity(reduced_faces[size], probe)
            scores = (1 - weight) * cosine_similarity(gallery, probe) + weight * reduced
            of_system = verification_figures(scores, pairs.same, pairs.fold)
            figures |= {f"{size}/reduced_gallery/{key}": value for key, value in of_system.items()}
    return figures


def _mixed(embeddings: dict[str, Tensor], size: int, mixture: SizeCurve) -> Tensor:
    """Return the embeddings of probes of a size by RIM and teacher, (M, E), see `Usage.mixture`."""
    own, teacher = (F.normalize(embeddings[f"{size}/{system}"], dim=1) for system in ("rim", "teacher_bicubic"))
    weight = mixture.at(torch.tensor([size]))
    return F.normalize(weight * own + (1 - weight) * teacher, dim=1)


def _embed_reduced(
    rim: RIM, pairs: PairSet, probe_sizes: Sequence[int], usage: Usage, batch_size: int
) -> dict[int, Tensor]:
    """Embed the gallery face of every pair reduced to each size: size -> (P, E)."""
    embedder = FaceEmbedder(rim, usage)
    is_gallery = torch.zeros(len(pairs.faces), dtype=torch.bool)
    is_gallery[pairs.gallery] = True
    row_of_gallery = (is_gallery.cumsum(0) - 1)[pairs.gallery]  # (P,)
    parts: dict[int, list[Tensor]] = {size: [] for size in probe_sizes}
    device = next(rim.parameters()).device
    for batch in face_batches(pairs.faces, batch_size, device, f"reduced gallery of {pairs.title}"):
        faces = batch.hr[is_gallery[batch.index.cpu()].to(device)]
        for size, blocks in parts.items():
            if len(faces):
                blocks.append(embedder.reduced_gallery(faces, size).cpu())
    return {size: torch.cat(blocks)[row_of_gallery] for size, blocks in parts.items()}


def _embed_pairs(
    rim: RIM, pairs: PairSet, is_probe: Tensor, probes_of: ProbesOfSizes, usage: Usage, batch_size: int
) -> dict[str, Tensor]:
    """Embed every face once: sharp, and reduced to each size if it is a probe.

    Returns:
        "hr/teacher" -> (N, E) of all faces; "<size>/<system>" -> (M, E) of the probe faces, in their order.
    """
    device = next(rim.parameters()).device
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for batch in face_batches(pairs.faces, batch_size, device, f"pairs of {pairs.title}"):
        sharp = embed_faces(partial(_embed_gallery, rim), batch.hr, usage.flip, usage.shift)
        parts["hr/teacher"].append(sharp["teacher"])
        positions = batch.index.cpu()
        chosen = is_probe[positions]
        if not chosen.any():
            continue
        for size, enlarged in probes_of(batch.hr[chosen.to(device)], positions[chosen].tolist()):
            embed = partial(_embed_probes, rim, torch.full((len(enlarged),), size))
            for system, embedding in embed_faces(embed, enlarged, usage.flip, usage.shift).items():
                parts[f"{size}/{system}"].append(embedding)
    return {name: torch.cat(tensors).cpu() for name, tensors in parts.items()}


def _probes_of_sizes(
    probe_sizes: Sequence[int], kind: ProbeKind, faces: Tensor, seeds: list[int]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the enlarged probes of faces (B, 3, S, S), size by size."""
    for size in probe_sizes:
        yield size, seeded_probes(faces, size, kind, seeds)


def _embed_gallery(rim: RIM, faces: Tensor) -> dict[str, Tensor]:
    return {"teacher": rim.embed_gallery(faces)}


def _embed_probes(rim: RIM, sizes: Tensor, enlarged: Tensor) -> dict[str, Tensor]:
    """Return (B, E) embeddings of enlarged probes by every system of `SYSTEMS`."""
    embeddings = rim.probe_embeddings(enlarged, sizes)
    return {
        "teacher_bicubic": rim.embed_gallery(enlarged),
        "teacher_sr": rim.embed_gallery(embeddings.sr),
        "student": embeddings.student,
        "rim": embeddings.rim,
    }
