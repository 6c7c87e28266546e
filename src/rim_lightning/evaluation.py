"""Figures of a trained RIM on a set of faces: image quality, priors, verification. Plain torch, one process."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from rim_lightning.data.dataset import FaceDataset, collate
from rim_lightning.functional.degradation import reduce, synthesise_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.verification import (
    bootstrap_interval,
    cosine_similarity,
    equal_error_rate,
    kfold_accuracy,
    kfold_decisions,
    roc_auc,
    tar_at_far,
)
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalisedMeanError
from rim_lightning.metrics.verification import FALSE_ACCEPT_RATES
from rim_lightning.networks.rim import RIM
from rim_lightning.types import UNLABELLED, FaceBatch, to_unit

SYSTEMS = ("teacher_bicubic", "teacher_sr", "student", "rim")
"""What reads the probe; the gallery is always the sharp face through the teacher. teacher_bicubic: the teacher on the
enlarged probe. teacher_sr: the teacher on the hallucinated face. student: f_S. rim: f_S + f_A."""


class Panel(NamedTuple):
    """Faces to look at, each (n, 3, S, S) in [-1, 1] unless said.

    Attributes:
        lr: (n, 3, s, s). bicubic, coarse, sr, hr. heatmaps: (n, S, S), the strongest channel, enlarged.
        parsing: (n, S, S) predicted classes. parsing_true: (n, S, S), `UNLABELLED` where there is no label.
        psnr_bicubic, psnr_sr: (n,) dB.
    """

    lr: Tensor
    bicubic: Tensor
    coarse: Tensor
    sr: Tensor
    hr: Tensor
    heatmaps: Tensor
    parsing: Tensor
    parsing_true: Tensor
    psnr_bicubic: Tensor
    psnr_sr: Tensor


def face_batches(faces: FaceDataset, batch_size: int, device: torch.device, title: str) -> Iterable[FaceBatch]:
    """Batches of the faces in order, on the device, images in [-1, 1]; with a progress bar."""
    loader = DataLoader(faces, batch_size, collate_fn=collate)
    for batch in tqdm(loader, desc=title, leave=False):
        moved = FaceBatch(
            batch.hr.to(device),
            {scheme: points.to(device) for scheme, points in batch.landmarks.items()},
            batch.parsing.to(device),
            batch.identity.to(device),
            batch.index.to(device),
        )
        yield moved._replace(hr=to_unit(moved.hr))


@torch.no_grad()
def evaluate_hallucination(
    rim: RIM, faces: FaceDataset, protocol: str, crop: int, batch_size: int, panel_faces: int, title: str
) -> tuple[dict[str, float], Panel]:
    """Image quality at the nominal probe size against bicubic, landmark error and parsing IoU.

    Args:
        rim: in eval mode. faces: sharp faces of the model's HR size.
        protocol, crop: see `ImageQuality`. panel_faces: how many faces, spread over the set, to keep for looking at.

    Returns:
        figures without prefix: "psnr_y", "ssim_y" of I_sr (or "…_rgb"), "coarse/…", "bicubic/…", "psnr_gain_y" (mean of
        I_sr − bicubic) with "psnr_gain_y_low", "…_high" (95 % bootstrap over faces), "nme/<scheme>" (percent of the eye
        distance, on the probe and "nme_hr/<scheme>" on the sharp face), "miou", "miou_hr", "faces"; and the panel.
    """
    device = next(rim.parameters()).device
    quality = {name: ImageQuality(protocol, crop).to(device) for name in ("sr", "coarse", "bicubic")}
    schemes = [scheme for scheme in rim.fhn.generator.heatmap_heads if scheme in faces.schemes]
    sides = ("", "_hr")
    nme = {(side, scheme): NormalisedMeanError(scheme).to(device) for side in sides for scheme in schemes}
    iou = {side: ParsingIoU().to(device) for side in sides}
    shown = set(np.linspace(0, len(faces) - 1, min(panel_faces, len(faces))).round().astype(int).tolist())
    kept: list[tuple[Tensor, ...]] = []
    for batch in face_batches(faces, batch_size, device, title):
        enlarged = synthesise_probe(batch.hr, torch.full((len(batch.hr),), rim.lr_size))
        output = rim.fhn(enlarged, batch.hr)
        for name, image in (("sr", output.sr), ("coarse", output.coarse), ("bicubic", enlarged)):
            quality[name].update(image, batch.hr, batch.index)
        for side, priors in zip(sides, (output.priors, output.hr_priors), strict=True):
            for scheme in schemes:
                points = decode_heatmaps(priors.heatmaps[scheme], batch.hr.shape[-1])
                nme[side, scheme].update(points, batch.landmarks[scheme], batch.index)
            if (batch.parsing != UNLABELLED).any():
                iou[side].update(priors.parsing, batch.parsing, batch.index)
        rows = [row for row, index in enumerate(batch.index.tolist()) if index in shown]
        if rows:
            kept.append(_panel_rows(batch, enlarged, output, rows))
    figures = {"faces": float(len(faces))}
    for name, metric in quality.items():
        prefix = "" if name == "sr" else f"{name}/"
        figures |= {f"{prefix}{key}_{protocol}": value.item() for key, value in metric.compute().items()}
    gains = quality["sr"].per_image()["psnr"] - quality["bicubic"].per_image()["psnr"]
    low, high = bootstrap_interval(gains, torch.Generator().manual_seed(0))
    gain = f"psnr_gain_{protocol}"
    figures |= {gain: gains.mean().item(), f"{gain}_low": low, f"{gain}_high": high}
    figures |= {f"nme{side}/{scheme}": metric.compute().item() for (side, scheme), metric in nme.items()}
    figures |= {f"miou{side}": metric.compute().item() for side, metric in iou.items() if metric.update_called}
    return figures, _panel(kept, quality, sorted(shown), rim.lr_size)


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
            enlarged = synthesise_probe(batch.hr[rows], torch.full((int(rows.sum()),), size))
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


def _panel_rows(batch: FaceBatch, enlarged: Tensor, output, rows: list[int]) -> tuple[Tensor, ...]:
    size = batch.hr.shape[-2:]
    options = {"size": size, "mode": "bilinear", "align_corners": False}
    heatmaps = torch.stack([maps.amax(1) for maps in output.priors.heatmaps.values()]).amax(0)
    heatmaps = torch.nn.functional.interpolate(heatmaps[rows].unsqueeze(1).float(), **options).squeeze(1)
    parsing = torch.nn.functional.interpolate(output.priors.parsing[rows].float(), **options).argmax(1)
    images = (enlarged, output.coarse, output.sr, batch.hr)
    return (*(image[rows].float().cpu() for image in images), heatmaps.cpu(), parsing.cpu(), batch.parsing[rows].cpu())


def _panel(kept: list[tuple[Tensor, ...]], quality: dict[str, ImageQuality], shown: list[int], lr_size: int) -> Panel:
    enlarged, coarse, sr, hr, heatmaps, parsing, truth = (torch.cat(parts) for parts in zip(*kept, strict=True))
    psnr = {name: quality[name].per_image()["psnr"].cpu()[shown] for name in ("bicubic", "sr")}
    lr = reduce(hr, lr_size)
    return Panel(lr, enlarged, coarse, sr, hr, heatmaps, parsing, truth, psnr["bicubic"], psnr["sr"])
