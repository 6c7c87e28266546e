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
from rim_lightning.functional.resize import reduce
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.networks.rim import RIM
from rim_lightning.types import FaceBatch

LANDMARKS = "landmarks/"
FIGURE_SUFFIX = {"probe": "", "sharp": "_hr"}
"""Source of the priors -> suffix of their figures."""


class HallucinatedBatch(NamedTuple):
    """A batch of faces, their probes, and the faces and priors that a network makes of the probes.

    Attributes:
        batch: The true faces with their labels; `hr` is (B, 3, S, S), RGB in [-1, 1].
        images: Name of the image -> (B, 3, S, S), RGB around [-1, 1]. "bicubic" is the enlarged probe, "sr" the
            hallucinated face. RIM also has "coarse".
        priors: Source -> landmark heatmaps and parsing logits of that face: "probe" (read from the coarse face) or
            "sharp" (read from the true face). Empty if the network predicts none.
    """

    batch: FaceBatch
    images: dict[str, Tensor]
    priors: dict[str, Priors]


def hallucinate(network: RIM | SuperResolver, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Return the faces that a network makes of probes.

    Args:
        network: RIM or one of the networks it is compared with.
        enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,), for networks that read it.

    Returns:
        Hallucinated faces, (B, 3, S, S), RGB around [-1, 1], not clipped.
    """
    sr: Tensor = network.fhn(enlarged, sizes).sr if isinstance(network, RIM) else network(enlarged, sizes)
    return sr


def hallucinate_batch(
    network: RIM | SuperResolver, batch: FaceBatch, lr_size: int, sharp_priors: bool
) -> HallucinatedBatch:
    """Make probes of a batch of faces and hallucinate faces from them.

    Args:
        network: RIM or one of the networks it is compared with.
        batch: Faces on the device of the network; `hr` is (B, 3, S, S), RGB in [-1, 1].
        lr_size: Side of the probes in pixels.
        sharp_priors: True to read the priors of the sharp faces too, in the same forward pass. Only RIM has priors.

    Returns:
        The batch with its images and priors.
    """
    sizes = torch.full((len(batch.hr),), lr_size)
    enlarged = synthesize_probe(batch.hr, sizes)  # (B, 3, S, S)
    if not isinstance(network, RIM):
        return HallucinatedBatch(batch, {"bicubic": enlarged, "sr": network(enlarged, sizes)}, {})
    output = network.fhn(enlarged, sizes, batch.hr if sharp_priors else None)
    images = {"bicubic": enlarged, "coarse": output.coarse, "sr": output.sr}
    priors = {"probe": output.priors, "sharp": output.hr_priors}
    return HallucinatedBatch(batch, images, {name: value for name, value in priors.items() if value is not None})


@torch.no_grad()
def hallucinated_batches(
    network: RIM | SuperResolver,
    face_set: FaceSet,
    lr_size: int,
    batch_size: int,
    device: torch.device,
    title: str,
    sharp_priors: bool,
) -> Iterator[HallucinatedBatch]:
    """Hallucinate a set of faces, batch by batch and in order.

    Args:
        network: RIM or one of the networks it is compared with, in eval mode.
        face_set: Faces of the network's size.
        lr_size: Side of the probes in pixels.
        batch_size: Faces per batch.
        device: Where the network is.
        title: Title of the progress bar.
        sharp_priors: True to read the priors of the sharp faces too.

    Yields:
        One batch after the other.
    """
    for batch in face_batches(face_set.dataset, batch_size, device, title):
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

    def update(self, hallucinated: HallucinatedBatch) -> None:
        """Take in a batch that holds all images and priors that are measured."""
        batch = hallucinated.batch
        for name, quality in self.quality.items():
            quality.update(hallucinated.images[name], batch.hr, batch.index)
        for source, errors in self.nme.items():
            points = hallucinated.priors[source].points(batch.hr.shape[-1])
            for scheme, error in errors.items():
                error.update(points[scheme], batch.landmarks[scheme], batch.index)
        for source, iou in self.iou.items():
            iou.update(hallucinated.priors[source].parsing_logits, batch.parsing, batch.index)

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
            figures |= {f"nme{FIGURE_SUFFIX[source]}/{scheme}": error.compute() for scheme, error in errors.items()}
        return figures | {f"miou{FIGURE_SUFFIX[source]}": iou.compute() for source, iou in self.iou.items()}

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
        landmarks: Scheme name -> (n, P, 2), predicted x and y in pixels of the hallucinated face.
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
    landmarks: dict[str, Tensor]
    parsing: Tensor
    parsing_true: Tensor
    psnr_bicubic: Tensor
    psnr_sr: Tensor


@torch.no_grad()
def evaluate_hallucination(
    rim: RIM, face_set: FaceSet, protocol: Literal["y", "rgb"], crop: int, batch_size: int, panel_faces: int
) -> tuple[dict[str, float], Panel]:
    """Measure image quality, landmark error and parsing IoU at the nominal probe size.

    Image quality is also measured for bicubic enlargement and for the coarse face.

    Args:
        rim: The network, in eval mode.
        face_set: Sharp faces of the model's HR size.
        protocol: "y" for BT.601 luma or "rgb", see `ImageQuality`.
        crop: Pixels left out at each border.
        batch_size: Faces per batch.
        panel_faces: Number of faces, spread over the set, that the panel shows.

    Returns:
        Figures by name, and a panel. The names:
            "faces": Number of faces.
            "psnr_<protocol>" in dB and "ssim_<protocol>" in [-1, 1]: hallucinated faces.
            "coarse/…" and "bicubic/…": the same for those images.
            "psnr_gain_<protocol>": Mean PSNR above bicubic in dB, with "_low" and "_high" (95 % bootstrap over faces).
            "nme/<scheme>", "nme_hr/<scheme>": Landmark error on probe and sharp face, percent of the eye distance.
            "miou", "miou_hr": Parsing IoU on probe and sharp face, in [0, 1]; missing without labels.
    """
    device = next(rim.parameters()).device
    schemes = [scheme for scheme in rim.fhn.generator.heatmap_heads if scheme in face_set.dataset.schemes]
    metrics = HallucinationMetrics(("sr", "coarse", "bicubic"), schemes, ("probe", "sharp"), protocol, crop).to(device)
    count = len(face_set.dataset)
    panel_positions = sorted(set(np.linspace(0, count - 1, min(panel_faces, count)).round().astype(int).tolist()))
    panel_rows: list[dict[str, Tensor]] = []
    title = f"faces of {face_set.title}"
    for hallucinated in hallucinated_batches(rim, face_set, rim.lr_size, batch_size, device, title, sharp_priors=True):
        metrics.update(hallucinated)
        rows = [row for row, index in enumerate(hallucinated.batch.index.tolist()) if index in panel_positions]
        if rows:
            panel_rows.append(_panel_rows(hallucinated, rows))
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


def _panel_rows(hallucinated: HallucinatedBatch, rows: list[int]) -> dict[str, Tensor]:
    """Return some rows of a batch by the names of `Panel`, on the CPU; landmarks as "landmarks/<scheme>"."""
    size, priors = hallucinated.batch.hr.shape[-2:], hallucinated.priors["probe"]
    points = {f"{LANDMARKS}{scheme}": xy[rows].cpu() for scheme, xy in priors.points(size[0]).items()}  # (n, P, 2)
    logits = F.interpolate(priors.parsing_logits[rows].float(), size=size, mode="bilinear", align_corners=False)
    images = {name: image[rows].float().cpu() for name, image in hallucinated.images.items()}
    return images | {
        "hr": hallucinated.batch.hr[rows].float().cpu(),
        **points,
        "parsing": logits.argmax(1).cpu(),  # (n, S, S)
        "parsing_true": hallucinated.batch.parsing[rows].cpu(),
    }


def _panel(rows: list[dict[str, Tensor]], psnr: dict[str, Tensor], lr_size: int) -> Panel:
    columns = {name: torch.cat([part[name] for part in rows]) for name in rows[0]}
    landmarks = {name.removeprefix(LANDMARKS): columns.pop(name) for name in [*columns] if name.startswith(LANDMARKS)}
    lr = reduce(columns["hr"], lr_size)
    return Panel(lr=lr, psnr_bicubic=psnr["bicubic"], psnr_sr=psnr["sr"], landmarks=landmarks, **columns)
