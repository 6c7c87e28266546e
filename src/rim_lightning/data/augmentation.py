"""Random views of one aligned face; the one place that knows albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network for a newer release

import albumentations as A
import cv2
import numpy as np

from rim_lightning.data.views import LabeledFace, Points, flip_face
from rim_lightning.types import UNLABELED


class _FaceAffine(A.Affine):
    """`A.Affine` whose image repeats its border while the parsing outside the stored picture is `UNLABELED`."""

    def apply_to_mask(
        self, mask: np.ndarray, matrix: np.ndarray, output_shape: tuple[int, int], **params: object
    ) -> np.ndarray:
        size = (int(output_shape[1]), int(output_shape[0]))
        return cv2.warpAffine(
            mask,
            matrix[:2],
            size,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNLABELED,
        )


class FaceAugmentation:
    """One random view of a stored face: flip, one affine warp, center crop, then brightness, contrast, gamma and hue.

    The warp moves the whole stored picture, so that what it pulls into the HR crop is the stored margin rather than
    invented pixels. Everything is drawn from the seed of the call: the same seed gives the same view.

    Args:
        hr_size: side of the result in pixels.
        flip: probability of mirroring.
        rotation: largest angle in degrees, either way.
        scale: largest relative change of size: .1 means .9 to 1.1.
        shift: largest move along x and y as a share of `hr_size`.
        brightness, contrast: largest relative change.
        gamma: largest relative change of the exponent.
        hue: largest turn of the hue in degrees of the color circle.
        photometric: probability of each of the three photometric steps.
    """

    def __init__(
        self,
        hr_size: int,
        flip: float = 0.5,
        rotation: float = 10.0,
        scale: float = 0.1,
        shift: float = 0.05,
        brightness: float = 0.15,
        contrast: float = 0.15,
        gamma: float = 0.15,
        hue: float = 8.0,
        photometric: float = 0.5,
    ) -> None:
        self.hr_size = hr_size
        self.flip = flip
        pixels = round(shift * hr_size)
        self.steps = [
            _FaceAffine(
                scale=(1 - scale, 1 + scale),
                keep_ratio=True,  # a similarity, as the alignment: faces get larger, never wider
                rotate=(-rotation, rotation),
                translate_px=(-pixels, pixels),
                interpolation=cv2.INTER_CUBIC,
                # Not a reflecting border: there albumentations adds the mirror images of every point.
                border_mode=cv2.BORDER_REPLICATE,
                p=1.0,
            ),
            A.CenterCrop(hr_size, hr_size, p=1.0),
            A.RandomBrightnessContrast(brightness, contrast, p=photometric),
            A.RandomGamma((100 * (1 - gamma), 100 * (1 + gamma)), p=photometric),
            # OpenCV's 8-bit hue has 180 steps.
            A.HueSaturationValue(hue / 2, sat_shift_limit=0, val_shift_limit=0, p=photometric),
        ]
        self.pipeline = A.Compose(
            self.steps,
            keypoint_params=A.KeypointParams(format="xy", remove_invisible=False, check_each_transform=False),
        )

    def __call__(self, image: np.ndarray, parsing: np.ndarray | None, points: Points, seed: int) -> LabeledFace:
        """View number `seed` of a stored face.

        Args:
            image: (S, S, 3) uint8 RGB with S >= hr_size.
            parsing: (S, S) uint8 Helen-11, or None.
            points: scheme name -> (N, 2) float32 in pixels of `image`, NaN where not annotated.
            seed: any non-negative integer.

        Returns:
            (hr_size, hr_size, 3) uint8, (hr_size, hr_size) uint8 or None, and the points in pixels of that crop; points
            outside it are kept, NaN stay NaN.
        """
        # Compose.set_random_seed gives every step the SAME stream: rotation would then decide brightness.
        seeds = np.random.SeedSequence(seed).generate_state(len(self.steps) + 1)
        if seeds[-1] < self.flip * 2**32:
            image, parsing, points = flip_face(image, parsing, points)
        for step, step_seed in zip(self.steps, seeds, strict=False):
            step.set_random_seed(int(step_seed))

        names = list(points)
        stacked = np.concatenate([points[name] for name in names]) if names else np.zeros((0, 2), np.float32)
        known = ~np.isnan(stacked).any(axis=1)
        inputs = {"image": np.ascontiguousarray(image), "keypoints": stacked[known]}
        if parsing is not None:
            inputs["mask"] = np.ascontiguousarray(parsing)
        view = self.pipeline(**inputs)

        moved = np.full_like(stacked, np.nan)
        moved[known] = view["keypoints"]
        ends = np.cumsum([len(points[name]) for name in names])
        return (
            view["image"],
            view.get("mask"),
            dict(zip(names, np.split(moved, ends[:-1]), strict=True)) if names else {},
        )
