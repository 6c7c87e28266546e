"""PSNR and SSIM of hallucinated faces under a named protocol."""

from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.image_quality import luma, psnr, ssim
from rim_lightning.functional.resize import round_to_8bit
from rim_lightning.metrics.unique import keep_unique


class ImageQuality(Metric):
    """Mean over images of their own PSNR and SSIM; both images are measured as 8-bit files would hold them.

    Args:
        protocol: "y": on BT.601 luma (16..235 of 255), as super-resolution papers do; "rgb": on the three channels.
        crop: pixels left out along each border; papers leave out as many as the enlargement factor, or none.

    Raises:
        ValueError: for another protocol or a negative crop.
    """

    full_state_update = False
    psnr: list[Tensor]
    ssim: list[Tensor]
    index: list[Tensor]

    def __init__(self, protocol: Literal["y", "rgb"], crop: int = 0):
        super().__init__()
        if protocol not in ("y", "rgb"):
            raise ValueError(f"The image quality protocol is {protocol!r}; choose 'y' or 'rgb'.")
        if crop < 0:
            raise ValueError(f"The crop is {crop} pixels; it cannot be negative.")
        self.protocol = protocol
        self.crop = crop
        for name in ("psnr", "ssim", "index"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """prediction, target: (B, 3, H, W), RGB in [-1, 1] (beyond it clipped); index: (B,) int64."""
        prediction, target = round_to_8bit(prediction.detach().float()), round_to_8bit(target.detach().float())
        data_range = 2.0
        if self.protocol == "y":
            prediction, target, data_range = luma(prediction), luma(target), 255.0
        self.psnr.append(psnr(prediction, target, data_range, self.crop))
        self.ssim.append(ssim(prediction, target, data_range, self.crop))
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Means over the unique images: "psnr" in dB, "ssim" in [-1, 1]; NaN before any image."""
        images = self.per_image()
        return {"psnr": images["psnr"].mean(), "ssim": images["ssim"].mean()}

    def per_image(self) -> dict[str, Tensor]:
        """Figures of each unique image, by ascending "index": (U,) each; of all ranks only within `sync_context()`."""
        if not isinstance(self.index, Tensor) and not self.index:
            empty = torch.zeros(0, device=self.device)
            return {"index": empty.long(), "psnr": empty, "ssim": empty}
        index, values, others = keep_unique(*map(dim_zero_cat, (self.index, self.psnr, self.ssim)))
        return {"index": index, "psnr": values, "ssim": others}
