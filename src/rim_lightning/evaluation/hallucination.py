"""rim_lightning.evaluation.verification.hallucination."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset, face_batches
from rim_lightning.functional.bootstrap import bootstrap_interval
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.resize import reduce
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.networks.rim import RIM
from rim_lightning.types import UNLABELED, FaceBatch


class Panel(NamedTuple):
    """Faces to look at, each (n, 3, S, S) in [-1, 1] unless said.

    Attributes:
        lr: (n, 3, s, s). bicubic, coarse, sr, hr. heatmaps: (n, S, S), the strongest channel, enlarged.
        parsing: (n, S, S) predicted classes. parsing_true: (n, S, S), `UNLABELED` where there is no label.
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
    nme = {(side, scheme): NormalizedMeanError(scheme).to(device) for side in sides for scheme in schemes}
    iou = {side: ParsingIoU().to(device) for side in sides}
    shown = set(np.linspace(0, len(faces) - 1, min(panel_faces, len(faces))).round().astype(int).tolist())
    kept: list[tuple[Tensor, ...]] = []
    for batch in face_batches(faces, batch_size, device, title):
        enlarged = synthesize_probe(batch.hr, torch.full((len(batch.hr),), rim.lr_size))
        output = rim.fhn(enlarged, batch.hr)
        for name, image in (("sr", output.sr), ("coarse", output.coarse), ("bicubic", enlarged)):
            quality[name].update(image, batch.hr, batch.index)
        for side, priors in zip(sides, (output.priors, output.hr_priors), strict=True):
            for scheme in schemes:
                points = decode_heatmaps(priors.heatmaps[scheme], batch.hr.shape[-1])
                nme[side, scheme].update(points, batch.landmarks[scheme], batch.index)
            if (batch.parsing != UNLABELED).any():
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
