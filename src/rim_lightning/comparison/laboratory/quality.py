"""Quality of the faces that a hallucination network makes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.evaluation.hallucination import HallucinationMetrics, hallucinated_batches
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.verification import cosine_similarity
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.rim import RIM

BATCH = 32


class Quality(NamedTuple):
    """A hallucination network on a set of N faces, over its S seeds.

    Attributes:
        psnr: PSNR of BT.601 luma by seed, (S, N) dB.
        ssim: SSIM of BT.601 luma, (N,), mean over the seeds.
        identity: Cosine of the teacher's embeddings of the hallucinated and the true face, (N,), mean over the seeds.
        nme: Landmark error in percent of the eye distance; NaN if the network or the set has no landmarks.
        miou: IoU of face parsing in [0, 1]; NaN if the network or the set has no parsing.
    """

    psnr: Tensor
    ssim: Tensor
    identity: Tensor
    nme: float
    miou: float


@torch.no_grad()
def measure_quality(
    network: RIM | SuperResolver,
    faces: FaceSet,
    lr_size: int,
    teacher: GuidedRecognizer,
    sharp: Tensor,
    title: str,
) -> dict[str, Any]:
    """Measure the faces that one network makes of probes.

    Args:
        network: The network, in eval mode.
        faces: N faces of its size.
        lr_size: Side of the probes in pixels.
        teacher: Recognizer that judges identity, in eval mode on the same device.
        sharp: The teacher's embeddings of the true faces, (N, E), on the same device.
        title: Title of the progress bar.

    Returns:
        "psnr", "ssim" and "identity" as lists of N numbers, "nme" and "miou" as numbers, see `Quality`.
    """
    schemes = []
    if isinstance(network, RIM):
        schemes = [scheme for scheme in network.fhn.generator.heatmap_heads if scheme in faces.dataset.schemes][:1]
    priors_of = ("probe",) if isinstance(network, RIM) else ()
    metrics = HallucinationMetrics(("sr",), schemes, priors_of).to(sharp.device)
    identity: list[float] = []
    for hallucinated in hallucinated_batches(network, faces, lr_size, BATCH, sharp.device, title, sharp_priors=False):
        metrics.update(hallucinated)
        embeddings = teacher.embed_gallery(hallucinated.images["sr"].float().clamp(-1, 1))  # (B, E)
        identity += cosine_similarity(embeddings, sharp[hallucinated.batch.index]).tolist()
    images = metrics.quality["sr"].per_image()
    figures = metrics.compute()
    nan = torch.tensor(float("nan"))
    return {
        "psnr": images["psnr"].tolist(),
        "ssim": images["ssim"].tolist(),
        "identity": identity,
        "nme": figures[f"nme/{schemes[0]}"].item() if schemes else nan.item(),
        "miou": figures.get("miou", nan).item(),
    }
