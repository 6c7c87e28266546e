"""Random views of an aligned face; the one file that imports albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network for a newer release

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.views import LabeledFace, Points, flip_face
from rim_lightning.types import UNLABELED


class _FaceAffine(A.Affine):
    """`A.Affine` whose image repeats its border while the parsing outside the stored picture is `UNLABELED`."""

    def apply_to_mask(
        self, mask: NDArray[np.uint8], matrix: NDArray[np.float64], output_shape: tuple[int, int], **params: object
    ) -> NDArray[np.uint8]:
        size = (int(output_shape[1]), int(output_shape[0]))
        warped = cv2.warpAffine(
            mask,
            matrix[:2],
            size,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNLABELED,
        )
        return np.asarray(warped, dtype=np.uint8)


class FaceAugmentation:
    """Random view of a stored face: flip, one affine warp, center crop, then brightness, contrast, gamma and hue.

    The warp moves the whole stored picture, so that it pulls the stored margin into the HR crop rather than invented
    pixels. The view is a function of the seed of the call.

    Args:
        hr_size: Side of the result in pixels.
        flip: Probability of mirroring.
        rotation: Largest angle in degrees, either way.
        scale: Largest relative change of size; .1 means .9 to 1.1.
        shift: Largest move along x and along y, as a share of `hr_size`.
        brightness: Largest relative change of the brightness.
        contrast: Largest relative change of the contrast.
        gamma: Largest relative change of the exponent.
        hue: Largest turn of the hue in degrees of the color circle.
        photometric: Probability of each of the three photometric steps.
    """

    def __init__(
        self,
        hr_size: int,
        flip: float,
        rotation: float,
        scale: float,
        shift: float,
        brightness: float,
        contrast: float,
        gamma: float,
        hue: float,
        photometric: float,
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

    def __call__(
        self, image: NDArray[np.uint8], parsing: NDArray[np.uint8] | None, points: Points, seed: int
    ) -> LabeledFace:
        """Return view `seed` of a stored face.

        Args:
            image: (S, S, 3) uint8 RGB with S ≥ `hr_size`.
            parsing: (S, S) uint8, Helen-11 classes; or None.
            points: Scheme name -> (N, 2) float32 in pixels of `image`, NaN where not annotated.
            seed: Any non-negative integer.

        Returns:
            Image (hr_size, hr_size, 3) uint8, parsing (hr_size, hr_size) uint8 or None, and the points in pixels of
            that image. Points outside it are kept; NaN stays NaN.
        """
        # Compose.set_random_seed gives every step the SAME stream: rotation would then decide brightness.
        seeds = np.random.SeedSequence(seed).generate_state(len(self.steps) + 1)
        if seeds[-1] < self.flip * 2**32:
            image, parsing, points = flip_face(image, parsing, points)
        for step, step_seed in zip(self.steps, seeds, strict=False):
            step.set_random_seed(int(step_seed))

        stacked = np.concatenate([*points.values(), np.zeros((0, 2), np.float32)])  # (all points, 2)
        annotated = ~np.isnan(stacked).any(axis=1)
        inputs = {"image": np.ascontiguousarray(image), "keypoints": stacked[annotated]}
        if parsing is not None:
            inputs["mask"] = np.ascontiguousarray(parsing)
        view = self.pipeline(**inputs)

        points_in_view = np.full_like(stacked, np.nan)
        points_in_view[annotated] = view["keypoints"]
        ends = np.cumsum([len(xy) for xy in points.values()])
        return view["image"], view.get("mask"), dict(zip(points, np.split(points_in_view, ends)[:-1], strict=True))
