"""Measure hallucinated faces: image quality against bicubic, landmark error, face parsing."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.data.dataset import face_batches
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.bootstrap import bootstrap_interval
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.resize import reduce
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.networks.rim import RIM
from rim_lightning.types import FaceBatch

SUFFIX = {"probe": "", "sharp": "_hr"}
"""What the priors were read from -> end of the name of their figures."""


class HallucinatedBatch(NamedTuple):
    """A batch of faces, their probes, and what a network makes of the probes.

    Attributes:
        faces: The true faces with their labels; `hr` is (B, 3, S, S), RGB in [-1, 1].
        images: Name of the image -> (B, 3, S, S), RGB around [-1, 1]. "bicubic" is the enlarged probe, "sr" the
            hallucinated face; of RIM there is "coarse" too.
        priors: What the priors were read from -> priors: "probe" (of the coarse face) and "sharp" (of the true face).
            Empty if the network has none.
    """

    faces: FaceBatch
    images: dict[str, Tensor]
    priors: dict[str, Priors]


def hallucinate(network: RIM | SuperResolver, enlarged: Tensor) -> Tensor:
    """Return the faces that a network makes of probes.

    Args:
        network: RIM or one of the networks it is compared with.
        enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].

    Returns:
        Hallucinated faces, (B, 3, S, S), RGB around [-1, 1], not clipped.
    """
    sr: Tensor = network.fhn(enlarged).sr if isinstance(network, RIM) else network(enlarged)
    return sr


def hallucinate_batch(
    network: RIM | SuperResolver, faces: FaceBatch, lr_size: int, sharp_priors: bool
) -> HallucinatedBatch:
    """Make probes of a batch of faces and hallucinate the faces anew.

    Args:
        network: RIM or one of the networks it is compared with.
        faces: Faces on the device of the network; `hr` is (B, 3, S, S), RGB in [-1, 1].
        lr_size: Side of the probes in pixels.
        sharp_priors: Read the priors of the sharp faces too, in the same forward pass; of RIM only.

    Returns:
        Faces, images and priors.
    """
    enlarged = synthesize_probe(faces.hr, torch.full((len(faces.hr),), lr_size))  # (B, 3, S, S)
    if not isinstance(network, RIM):
        return HallucinatedBatch(faces, {"bicubic": enlarged, "sr": network(enlarged)}, {})
    output = network.fhn(enlarged, faces.hr if sharp_priors else None)
    images = {"bicubic": enlarged, "coarse": output.coarse, "sr": output.sr}
    priors = {"probe": output.priors, "sharp": output.hr_priors}
    return HallucinatedBatch(faces, images, {name: value for name, value in priors.items() if value is not None})


@torch.no_grad()
def hallucinated_batches(
    network: RIM | SuperResolver,
    faces: FaceSet,
    lr_size: int,
    batch_size: int,
    device: torch.device,
    title: str,
    sharp_priors: bool,
) -> Iterator[HallucinatedBatch]:
    """Hallucinate a set of faces, batch by batch and in order.

    Args:
        network: RIM or one of the networks it is compared with, in eval mode.
        faces: Faces of the network's size.
        lr_size: Side of the probes in pixels.
        batch_size: Faces per batch.
        device: Where the network is.
        title: Title of the progress bar.
        sharp_priors: Read the priors of the sharp faces too.

    Yields:
        One batch after the other.
    """
    for batch in face_batches(faces.faces, batch_size, device, title):
        yield hallucinate_batch(network, batch, lr_size, sharp_priors)


class HallucinationMetrics(nn.Module):
    """Image quality, landmark error and parsing IoU of hallucinated faces, over many batches.

    Its metrics keep nothing in a state_dict. Faces that a distributed sampler repeats count once.

    Args:
        images: Which images are compared with the sharp face: "sr", "coarse", "bicubic".
        schemes: Landmark schemes whose error is measured. The network has heatmaps of each.
        priors_of: From what the priors are read: "probe", "sharp". Empty: no priors are measured.
        protocol: "y" for BT.601 luma or "rgb", see `ImageQuality`.
        crop: Pixels left out at each border.
    """

    def __init__(
        self,
        images: Sequence[str],
        schemes: Sequence[str],
        priors_of: Sequence[str],
        protocol: Literal["y", "rgb"] = "y",
        crop: int = 0,
    ) -> None:
        super().__init__()
        self.protocol = protocol
        self.quality = {name: ImageQuality(protocol, crop) for name in images}
        self.nme = {source: {scheme: NormalizedMeanError(scheme) for scheme in schemes} for source in priors_of}
        self.iou = {source: ParsingIoU() for source in priors_of}
        errors = [metric for of_source in self.nme.values() for metric in of_source.values()]
        # The dictionaries above name the metrics; as modules they move to the device.
        self.metrics = nn.ModuleList([*self.quality.values(), *errors, *self.iou.values()])

    def update(self, batch: HallucinatedBatch) -> None:
        """Take in a batch that holds all images and priors that are measured."""
        faces = batch.faces
        for name, quality in self.quality.items():
            quality.update(batch.images[name], faces.hr, faces.index)
        for source, errors in self.nme.items():
            for scheme, error in errors.items():
                heatmaps = batch.priors[source].heatmaps[scheme].float()  # (B, N, g, g)
                points = decode_heatmaps(heatmaps, faces.hr.shape[-1])  # (B, N, 2)
                error.update(points, faces.landmarks[scheme], faces.index)
        for source, iou in self.iou.items():
            iou.update(batch.priors[source].parsing_logits, faces.parsing, faces.index)

    def compute(self) -> dict[str, Tensor]:
        """Return the figures of all faces.

        Returns:
            Scalars by name: "sr/psnr_y" in dB, "sr/ssim_y" and the same of every image (or "…_rgb"); "nme/<scheme>" in
            percent of the eye distance and "miou" in [0, 1] of the probe; "nme_hr/<scheme>" and "miou_hr" of the sharp
            face. NaN where no face has the label.
        """
        figures: dict[str, Tensor] = {}
        for name, quality in self.quality.items():
            figures |= {f"{name}/{key}_{self.protocol}": value for key, value in quality.compute().items()}
        for source, errors in self.nme.items():
            figures |= {f"nme{SUFFIX[source]}/{scheme}": error.compute() for scheme, error in errors.items()}
        return figures | {f"miou{SUFFIX[source]}": iou.compute() for source, iou in self.iou.items()}

    def reset(self) -> None:
        """Forget all faces."""
        for metric in (*self.quality.values(), *self.iou.values()):
            metric.reset()
        for errors in self.nme.values():
            for error in errors.values():
                error.reset()


class Panel(NamedTuple):
    """Faces for people to look at.

    Attributes:
        lr: Probes, (n, 3, s, s), RGB in [-1, 1].
        bicubic: Enlarged probes, (n, 3, S, S), RGB in [-1, 1].
        coarse: Coarse faces, (n, 3, S, S), RGB around [-1, 1].
        sr: Hallucinated faces, (n, 3, S, S), RGB around [-1, 1].
        hr: True faces, (n, 3, S, S), RGB in [-1, 1].
        heatmaps: Strongest channel of the landmark heatmaps, enlarged to (n, S, S).
        parsing: Predicted classes, (n, S, S).
        parsing_true: True classes, (n, S, S), `UNLABELED` where there is no label.
        psnr_bicubic: PSNR of the enlarged probes, (n,) dB.
        psnr_sr: PSNR of the hallucinated faces, (n,) dB.
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
    rim: RIM, faces: FaceSet, protocol: Literal["y", "rgb"], crop: int, batch_size: int, panel_faces: int
) -> tuple[dict[str, float], Panel]:
    """Measure image quality at the nominal probe size against bicubic, landmark error and parsing IoU.

    Args:
        rim: The network, in eval mode.
        faces: Sharp faces of the model's HR size.
        protocol: "y" for BT.601 luma or "rgb", see `ImageQuality`.
        crop: Pixels left out at each border.
        batch_size: Faces per batch.
        panel_faces: Number of faces, spread over the set, that the panel shows.

    Returns:
        Figures and a panel. The figures are "faces", "psnr_y" and "ssim_y" of I_sr (or "…_rgb"), "coarse/…",
        "bicubic/…", "psnr_gain_y" (mean of I_sr − bicubic) with "psnr_gain_y_low" and "…_high" (95 % bootstrap over
        faces), "nme/<scheme>" (percent of the eye distance, of the probe) and "nme_hr/<scheme>" (of the sharp face),
        "miou" and "miou_hr" if there are labels.
    """
    device = next(rim.parameters()).device
    schemes = [scheme for scheme in rim.fhn.generator.heatmap_heads if scheme in faces.faces.schemes]
    metrics = HallucinationMetrics(("sr", "coarse", "bicubic"), schemes, ("probe", "sharp"), protocol, crop).to(device)
    count = len(faces.faces)
    panel_positions = sorted(set(np.linspace(0, count - 1, min(panel_faces, count)).round().astype(int).tolist()))
    panel_rows: list[dict[str, Tensor]] = []
    title = f"faces of {faces.title}"
    for batch in hallucinated_batches(rim, faces, rim.lr_size, batch_size, device, title, sharp_priors=True):
        metrics.update(batch)
        rows = [row for row, index in enumerate(batch.faces.index.tolist()) if index in panel_positions]
        if rows:
            panel_rows.append(_panel_rows(batch, rows))
    figures = {"faces": float(count)}
    figures |= {name.removeprefix("sr/"): value.item() for name, value in metrics.compute().items()}
    for name in ("miou", "miou_hr"):
        if math.isnan(figures[name]):  # no face of the set has a label
            del figures[name]
    psnr = {name: metrics.quality[name].per_image()["psnr"] for name in ("bicubic", "sr")}  # (N,) each
    gains = psnr["sr"] - psnr["bicubic"]
    low, high = bootstrap_interval(gains, torch.Generator().manual_seed(0))
    gain = f"psnr_gain_{protocol}"
    figures |= {gain: gains.mean().item(), f"{gain}_low": low, f"{gain}_high": high}
    return figures, _panel(
        panel_rows, {name: values.cpu()[panel_positions] for name, values in psnr.items()}, rim.lr_size
    )


def _panel_rows(batch: HallucinatedBatch, rows: list[int]) -> dict[str, Tensor]:
    """Return some rows of a batch by the names of `Panel`, on the CPU."""
    size, priors = batch.faces.hr.shape[-2:], batch.priors["probe"]
    strongest = torch.stack([maps.amax(1) for maps in priors.heatmaps.values()]).amax(0)[rows]  # (n, g, g)
    heatmaps = F.interpolate(strongest.unsqueeze(1).float(), size=size, mode="bilinear", align_corners=False)
    logits = F.interpolate(priors.parsing_logits[rows].float(), size=size, mode="bilinear", align_corners=False)
    images = {name: image[rows].float().cpu() for name, image in batch.images.items()}
    return images | {
        "hr": batch.faces.hr[rows].float().cpu(),
        "heatmaps": heatmaps.squeeze(1).cpu(),  # (n, S, S)
        "parsing": logits.argmax(1).cpu(),  # (n, S, S)
        "parsing_true": batch.faces.parsing[rows].cpu(),
    }


def _panel(rows: list[dict[str, Tensor]], psnr: dict[str, Tensor], lr_size: int) -> Panel:
    columns = {name: torch.cat([part[name] for part in rows]) for name in rows[0]}
    lr = reduce(columns["hr"], lr_size)
    return Panel(lr=lr, psnr_bicubic=psnr["bicubic"], psnr_sr=psnr["sr"], **columns)
