"""Figures of a trained RIM on a set of faces: image quality, priors, verification. Plain torch, one process."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset, face_batches
from rim_lightning.functional.bootstrap import bootstrap_interval
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.verification import (
    cosine_similarity,
    equal_error_rate,
    kfold_accuracy,
    kfold_decisions,
    roc_auc,
    tar_at_far,
)
from rim_lightning.metrics.verification import FALSE_ACCEPT_RATES
from rim_lightning.networks.rim import RIM

SYSTEMS = ("teacher_bicubic", "teacher_sr", "student", "rim")
"""What reads the probe; the gallery is always the sharp face through the teacher. teacher_bicubic: the teacher on the
enlarged probe. teacher_sr: the teacher on the hallucinated face. student: f_S. rim: f_S + f_A."""


@torch.no_grad()
def evaluate_verification(
    rim: RIM,
    faces: FaceDataset,
    gallery: Tensor,
    probe: Tensor,
    same: Tensor,
    fold: Tensor,
    probe_sizes: Sequence[int],
    flip: bool,
    batch_size: int,
    title: str,
) -> dict[str, float]:
    """Verification of pairs (sharp gallery face, reduced probe face) by every system of `SYSTEMS`, and sharp-sharp.

    Args:
        rim: in eval mode. faces: the images of the pairs.
        gallery, probe: (P,) positions in `faces`. same: (P,) bool. fold: (P,) int.
        probe_sizes: pixels; a probe of s is the aligned face reduced to s × s.
        flip: average each embedding with that of the mirrored face (of the mirrored probe), the same for every system.

    Returns:
        "hr/teacher/accuracy", "16/rim/accuracy" …: for each probe size and system accuracy (threshold of the other
        folds), accuracy_std (over folds), accuracy_low and accuracy_high (95 % bootstrap over pairs), eer, auc and the
        TAR at those FARs at which 10 impostor pairs or more are accepted; "pairs".
    """
    device = next(rim.parameters()).device
    wanted = torch.zeros(len(faces), dtype=torch.bool)
    wanted[probe] = True
    sharp: list[Tensor] = []
    reduced: dict[tuple[int, str], list[Tensor]] = {(size, name): [] for size in probe_sizes for name in SYSTEMS}
    for batch in face_batches(faces, batch_size, device, title):
        sharp.append(_embedded(rim.embed_gallery, batch.hr, flip))
        rows = wanted[batch.index.cpu()].to(device)
        for size in probe_sizes if rows.any() else ():
            enlarged = synthesize_probe(batch.hr[rows], torch.full((int(rows.sum()),), size))
            for name, embedding in _probe_embeddings(rim, enlarged, flip).items():
                reduced[size, name].append(embedding)
    place = wanted.cumsum(0) - 1  # row of a probe face among the probe embeddings
    reference = torch.cat(sharp).cpu()
    figures: dict[str, float] = {"pairs": float(len(same))}
    score = cosine_similarity(reference[gallery], reference[probe])
    figures |= {f"hr/teacher/{key}": value for key, value in verification_figures(score, same, fold).items()}
    for (size, name), parts in reduced.items():
        score = cosine_similarity(reference[gallery], torch.cat(parts).cpu()[place[probe]])
        figures |= {f"{size}/{name}/{key}": value for key, value in verification_figures(score, same, fold).items()}
    return figures


def verification_figures(score: Tensor, same: Tensor, fold: Tensor) -> dict[str, float]:
    """Figures of one system from (P,) scores; a TAR at a FAR that fewer than 10 impostor pairs decide is left out."""
    accuracy, spread, _ = kfold_accuracy(score, same, fold)
    correct, _ = kfold_decisions(score, same, fold)
    low, high = bootstrap_interval(correct, torch.Generator().manual_seed(0))
    figures = {"accuracy": accuracy, "accuracy_std": spread, "accuracy_low": low, "accuracy_high": high}
    figures |= {"eer": equal_error_rate(score, same), "auc": roc_auc(score, same)}
    for name, far in FALSE_ACCEPT_RATES.items():
        rate = tar_at_far(score, same, far)
        if rate is not None:
            figures[name] = rate[0]
    return figures


def _probe_embeddings(rim: RIM, enlarged: Tensor, flip: bool) -> dict[str, Tensor]:
    embeddings: dict[str, Tensor] = {}
    for view in (enlarged, enlarged.flip(-1)) if flip else (enlarged,):
        sr = rim.hrn.resized(rim.fhn(view).sr)
        student, assistant = rim.hrn.student.stages(sr)[-1], rim.hrn.assistant.stages(sr)[-1]
        of_view = {
            "teacher_bicubic": rim.embed_gallery(view),
            "teacher_sr": rim.embed_gallery(sr),
            "student": rim.hrn.embed(student, None),
            "rim": rim.hrn.embed(student, assistant),
        }
        for name, embedding in of_view.items():
            unit = torch.nn.functional.normalize(embedding.float(), dim=1)
            embeddings[name] = embeddings[name] + unit if name in embeddings else unit
    return embeddings


def _embedded(embed, faces: Tensor, flip: bool) -> Tensor:
    unit = torch.nn.functional.normalize(embed(faces).float(), dim=1)
    return unit + torch.nn.functional.normalize(embed(faces.flip(-1)).float(), dim=1) if flip else unit
