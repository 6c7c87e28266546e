"""Landmark and parsing schemes: their names, mirror permutations and conversions.

"Left" and "right" mean the left and right of the image, as the viewer sees it. The names of the Helen classes follow
this too. Only the classes of CelebAMask-HQ are named after the left and right of the person shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rim_lightning.types import UNLABELED


@dataclass(frozen=True)
class LandmarkScheme:
    """A numbered set of facial points.

    Attributes:
        name: Key of the scheme in `FaceBatch.landmarks`.
        points: Number of points P.
        flip: Permutation of range(P). Point i of the mirrored face is the mirrored point `flip[i]` of the original.
        left_eye: Indices whose mean is the center of the eye on the left of the image, the person's right eye.
        right_eye: Indices whose mean is the center of the eye on the right of the image.
        nose: Index of the tip of the nose, or of the point below it if `nose_lift` is not 0.
        mouth_corners: Indices of the mouth corner on the left of the image and of the one on its right.
        components: Part of the face -> indices of its points. Every point is in exactly one part.
        nose_lift: Mean position of the tip on the line from point `nose` to the middle between the eyes, as a share of
            that line. 0 if the scheme has a point at the tip.
    """

    name: str
    points: int
    flip: tuple[int, ...]
    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    nose: int
    mouth_corners: tuple[int, int]
    components: Mapping[str, Iterable[int]] = field(hash=False)
    nose_lift: float = 0.0


def _mirrored(points: int, *pairs: tuple[Iterable[int], Iterable[int]]) -> tuple[int, ...]:
    """Permutation of range(points) that exchanges the members of each pair of index lists one by one."""
    flip = list(range(points))
    for lefts, rights in pairs:
        for left, right in zip(lefts, rights, strict=True):
            flip[left], flip[right] = right, left
    return tuple(flip)


FIVE = LandmarkScheme(
    name="five",
    points=5,
    flip=(1, 0, 2, 4, 3),
    left_eye=(0,),
    right_eye=(1,),
    nose=2,
    mouth_corners=(3, 4),
    components={"left_eye": (0,), "right_eye": (1,), "nose": (2,), "mouth": (3, 4)},
)
"""Eye centers, tip of the nose and mouth corners, in the order of MTCNN, ArcFace and LFW's landmark files."""

FIVE_POINT_TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""The points of `FIVE` in an aligned face of 112x112 pixels (SphereFace's template as used by ArcFace)."""

TEMPLATE_SIZE = 112
"""Side in pixels of the face in which `FIVE_POINT_TEMPLATE_112` lies."""

IBUG68 = LandmarkScheme(
    name="ibug68",
    points=68,
    flip=_mirrored(
        68,
        (range(0, 8), range(16, 8, -1)),  # jaw
        (range(17, 22), range(26, 21, -1)),  # brows
        (range(31, 33), range(35, 33, -1)),  # nostrils
        ((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46)),  # eyes
        ((48, 49, 50, 59, 58), (54, 53, 52, 55, 56)),  # outer lips
        ((60, 61, 67), (64, 63, 65)),  # inner lips
    ),
    left_eye=tuple(range(36, 42)),
    right_eye=tuple(range(42, 48)),
    nose=30,
    mouth_corners=(48, 54),
    components={
        "jaw": range(17),
        "left_brow": range(17, 22),
        "right_brow": range(22, 27),
        "nose": range(27, 36),
        "left_eye": range(36, 42),
        "right_eye": range(42, 48),
        "mouth": range(48, 68),
    },
)
"""The 68 points of 300-W (Sagonas et al., ICCVW 2013), counted from 0."""

HELEN194 = LandmarkScheme(
    name="helen194",
    points=194,
    flip=_mirrored(
        194,
        (range(0, 20), range(40, 20, -1)),  # jaw
        (range(41, 49), range(57, 49, -1)),  # nose
        ((58, *range(59, 65), *range(85, 79, -1)), (72, *range(71, 65, -1), *range(73, 79))),  # outer lips
        ((86, *range(87, 93), *range(113, 107, -1)), (100, *range(99, 93, -1), *range(101, 107))),  # inner lips
        (range(114, 134), range(134, 154)),  # eyes, both from the inner corner over the upper lid
        (range(154, 174), range(174, 194)),  # brows, both from the inner end
    ),
    left_eye=tuple(range(134, 154)),
    right_eye=tuple(range(114, 134)),
    nose=49,
    mouth_corners=(58, 72),
    components={
        "jaw": range(41),
        "left_brow": range(174, 194),
        "right_brow": range(154, 174),
        "nose": range(41, 58),
        "left_eye": range(134, 154),
        "right_eye": range(114, 134),
        "mouth": range(58, 114),
    },
    nose_lift=0.26,
)
"""The 194 points of Helen (Le et al., ECCV 2012), counted from 0.

Jaw 0-40, nose 41-57, outer lips 58-85 and inner lips 86-113 (both from the left corner over the top), right eye
114-133, left eye 134-153, right brow 154-173, left brow 174-193. Left and right are those of the image. The outline of
the nose runs from one side of the bridge around the nostrils to the other; point 49 is its base, under the tip.
`nose_lift` is the median position of iBUG point 30 between point 33 and the eyes on Helen's training images.
"""

LANDMARK_SCHEMES: dict[str, LandmarkScheme] = {scheme.name: scheme for scheme in (FIVE, IBUG68, HELEN194)}


@dataclass(frozen=True)
class ParsingScheme:
    """A numbered set of face-parsing classes.

    Attributes:
        name: Name of the scheme.
        classes: Class names. The number of a class is its position.
        flip: Permutation of range(len(classes)). Class c of a face becomes class `flip[c]` of its mirror image.
        colors: RGB of each class in pictures, 0..255. Empty if the scheme is never shown.
    """

    name: str
    classes: tuple[str, ...]
    flip: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...] = ()


HELEN11 = ParsingScheme(
    name="helen11",
    classes=(
        "background",
        "face_skin",
        "left_eyebrow",
        "right_eyebrow",
        "left_eye",
        "right_eye",
        "nose",
        "upper_lip",
        "inner_mouth",
        "lower_lip",
        "hair",
    ),
    flip=_mirrored(11, ((2, 4), (3, 5))),
    colors=(
        (0, 0, 0),
        (238, 214, 188),
        (0, 158, 115),
        (0, 158, 115),
        (0, 114, 178),
        (0, 114, 178),
        (230, 159, 0),
        (213, 94, 0),
        (80, 10, 60),
        (204, 121, 167),
        (86, 180, 233),
    ),
)
"""The classes of the Helen parsing maps (Smith et al., CVPR 2013).

Left is the viewer's left, as the README of the relabeled maps by Lin et al. (CVPR 2019) says. Ears, neck, clothes and
hats are background: "face skin" excludes ears and neck.

The colors are those of Okabe and Ito (2008), which people tell apart who see red and green alike; skin and inner mouth
were added.
"""

CELEBAMASK19 = ParsingScheme(
    name="celebamask19",
    classes=(
        "background",
        "skin",
        "nose",
        "eye_g",
        "l_eye",
        "r_eye",
        "l_brow",
        "r_brow",
        "l_ear",
        "r_ear",
        "mouth",
        "u_lip",
        "l_lip",
        "hair",
        "hat",
        "ear_r",
        "neck_l",
        "neck",
        "cloth",
    ),
    flip=_mirrored(19, ((4, 6, 8), (5, 7, 9))),
)
"""The classes of CelebAMask-HQ (Lee et al., CVPR 2020) in the order of its g_mask.py.

`l_` is the left of the person shown, the right side of the image. `mouth` is the inner mouth, `u_lip` and `l_lip` are
the upper and the lower lip, `eye_g` is glasses, `ear_r` earrings and `neck_l` a necklace.
"""

PARSING_SCHEMES: dict[str, ParsingScheme] = {scheme.name: scheme for scheme in (HELEN11, CELEBAMASK19)}


def parsing_colors() -> NDArray[np.uint8]:
    """Build the table of colors of the Helen-11 classes.

    Returns:
        (256, 3) uint8 RGB. Row c is the color of class c; numbers without a class are gray.
    """
    table = np.full((256, 3), 128, dtype=np.uint8)
    table[: len(HELEN11.colors)] = HELEN11.colors
    return table


# The person's left is the viewer's right. Helen has no class for glasses: they lie on the face and count as skin.
# A class that is not listed becomes background.
_CELEBAMASK_IN_HELEN = {
    "skin": "face_skin",
    "nose": "nose",
    "eye_g": "face_skin",
    "l_eye": "right_eye",
    "r_eye": "left_eye",
    "l_brow": "right_eyebrow",
    "r_brow": "left_eyebrow",
    "mouth": "inner_mouth",
    "u_lip": "upper_lip",
    "l_lip": "lower_lip",
    "hair": "hair",
}


def _celebamask_table() -> NDArray[np.uint8]:
    table = np.full(256, HELEN11.classes.index("background"), dtype=np.uint8)
    for source, target in _CELEBAMASK_IN_HELEN.items():
        table[CELEBAMASK19.classes.index(source)] = HELEN11.classes.index(target)
    table[len(CELEBAMASK19.classes) :] = UNLABELED
    return table


_CELEBAMASK_TO_HELEN11 = _celebamask_table()


def to_helen11(celebamask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert CelebAMask-HQ classes to Helen-11 classes.

    Args:
        celebamask: Classes 0..18, any shape.

    Returns:
        Classes 0..10, same shape. Numbers above 18 become `UNLABELED`.
    """
    return _CELEBAMASK_TO_HELEN11[celebamask]


def five_points(landmarks: Mapping[str, NDArray]) -> NDArray[np.float64] | None:
    """Compute eye centers, nose tip and mouth corners from the first complete scheme of `FIVE`, `IBUG68`, `HELEN194`.

    Args:
        landmarks: Points by scheme name, (P, 2) in pixels; NaN where a point is not annotated.

    Returns:
        (5, 2) float64 in the order of `FIVE`, or None if no scheme has all the points that are needed.

    Raises:
        ValueError: If the points of a scheme have a different shape.
    """
    for scheme in LANDMARK_SCHEMES.values():
        if scheme.name not in landmarks:
            continue
        points = np.asarray(landmarks[scheme.name], dtype=np.float64)
        if points.shape != (scheme.points, 2):
            raise ValueError(
                f"Landmarks '{scheme.name}' have shape {points.shape}; this scheme has ({scheme.points}, 2) values."
            )
        with np.errstate(invalid="ignore"):  # of infinite points
            left, right = points[list(scheme.left_eye)].mean(axis=0), points[list(scheme.right_eye)].mean(axis=0)
            nose = points[scheme.nose] + scheme.nose_lift * ((left + right) / 2 - points[scheme.nose])
        five = np.stack([left, right, nose, *points[list(scheme.mouth_corners)]])
        if np.isfinite(five).all():
            return five
    return None
