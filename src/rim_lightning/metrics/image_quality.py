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
    """Mean over images of the PSNR and SSIM of each image. Both images are rounded to 8 bits first.

    Args:
        protocol: "y" compares BT.601 luma (16..235 of 255), as super-resolution papers do. "rgb" compares the three
            channels.
        crop: Number of pixels left out along each border. Papers leave out as many as the factor of enlargement, or
            none.

    Raises:
        ValueError: If the protocol is unknown or the crop is negative.
    """

    full_state_update = False
    psnr: list[Tensor]
    ssim: list[Tensor]
    index: list[Tensor]

    def __init__(self, protocol: Literal["y", "rgb"], crop: int = 0) -> None:
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
        """Add a batch of images.

        Args:
            prediction: Hallucinated faces, (B, 3, H, W), RGB in [-1, 1]. Values beyond the range are clipped.
            target: Sharp faces, same shape and range.
            index: Position of each face in the data set, (B,) int64.
        """
        prediction, target = round_to_8bit(prediction.detach().float()), round_to_8bit(target.detach().float())
        data_range = 2.0
        if self.protocol == "y":
            prediction, target, data_range = luma(prediction), luma(target), 255.0
        self.psnr.append(psnr(prediction, target, data_range, self.crop))
        self.ssim.append(ssim(prediction, target, data_range, self.crop))
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Compute the means over the unique images.

        Returns:
            Scalars "psnr" in dB and "ssim" in [-1, 1]; NaN if there is no image.
        """
        images = self.per_image()
        return {"psnr": images["psnr"].mean(), "ssim": images["ssim"].mean()}

    def per_image(self) -> dict[str, Tensor]:
        """Return the figures of each unique image. Within `sync_context()` these are the images of all ranks.

        Returns:
            "index" in ascending order, "psnr" in dB and "ssim", (U,) each.
        """
        if not isinstance(self.index, Tensor) and not self.index:
            empty = torch.zeros(0, device=self.device)
            return {"index": empty.long(), "psnr": empty, "ssim": empty}
        index, psnr_values, ssim_values = keep_unique(*map(dim_zero_cat, (self.index, self.psnr, self.ssim)))
        return {"index": index, "psnr": psnr_values, "ssim": ssim_values}
