"""Check whether annotated landmarks can belong to their picture: by their position, and by their fit to a face.

None of 31,421 annotated and machine-made sets of points (Helen, CelebAMask-HQ, CelebA, LFW, FFHQ) is refused. Of the
same points with x and y, left and right, or eyes and mouth exchanged all are; of those with two single points
exchanged, more than 96 % (benchmarks/landmark_check.py).
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.alignment import (
    FIVE_POINT_TEMPLATE_112,
    TEMPLATE_SIZE,
    similarity_from_points,
    transform_points,
)
from rim_lightning.data.images import MAX_PIXELS, MIN_SIDE, PictureHeader
from rim_lightning.schemes import HELEN11, LANDMARK_SCHEMES, five_points

MAX_RESIDUAL = 0.75
"""Largest residual of the fit to the template, as a share of the template. Faces have up to 0.57, profiles 0.67."""

REORDERED_RESIDUAL = 0.45
"""Residual above which another order of the points is refused if it fits at least twice as well."""

MAX_ROLL = 135
"""Largest roll in degrees. Annotated faces have up to 28; photographs lying on their side have 90."""

MAX_DISAGREEMENT = 0.4
"""Largest mean distance of two schemes, as a share of the side of the face. Annotated faces have up to 0.22."""

MAX_DISTANCE = 1.5
"""Largest distance of a point from the center of the face, as a share of its side. Annotated faces have up to 0.68."""

NORMALIZED = 1.5
"""Coordinates up to this are a fraction of the picture rather than pixels."""

MIN_ON_MASK = 2
"""Smallest number of the five points that lie on the face of a mask. Annotated faces have at least 3."""

_NOT_ON_THE_FACE = [HELEN11.classes.index("background"), HELEN11.classes.index("hair")]
_ORDER = "left eye, right eye, nose, left and right corner of the mouth, as the viewer sees them"
_GUESSES = {
    (1, 0, 2, 4, 3): "with left and right exchanged",
    (1, 0, 2, 3, 4): "with the eyes exchanged",
    (0, 1, 2, 4, 3): "with the corners of the mouth exchanged",
    (3, 4, 2, 0, 1): "that are upside down, as if eyes and mouth were exchanged or y counted from the bottom",
}
_TEMPLATE = (FIVE_POINT_TEMPLATE_112 - FIVE_POINT_TEMPLATE_112.mean(axis=0)) @ np.array([1, 1j])
_TEMPLATE_SPREAD = np.vdot(_TEMPLATE, _TEMPLATE).real
_IDENTITY, _HALF_TURN = (0, 1, 2, 3, 4), (4, 3, 2, 1, 0)
_OTHER_ORDERS = [order for order in permutations(range(5)) if order not in (_IDENTITY, _HALF_TURN)]


class _Fit(NamedTuple):
    """Fit of five points to the template: residual as a share of the template, roll in degrees, side in pixels."""

    residual: float
    roll: float
    side: float


def landmark_fault(landmarks: Mapping[str, NDArray], header: PictureHeader | None = None) -> str | None:
    """Return why landmarks cannot belong to a picture, or None if they can.

    Args:
        landmarks: Points by scheme name, (P, 2) in pixels of the picture as its file stores it; NaN where a point is
            not annotated.
        header: Size and orientation of the picture. None checks only what needs no picture: the fit to a face.

    Returns:
        The reason without the name of the picture: "has landmarks ...".

    Raises:
        ValueError: If the points of a scheme have a different shape.
    """
    fives: dict[str, NDArray[np.float64]] = {}
    for scheme in LANDMARK_SCHEMES:
        if scheme not in landmarks:
            continue
        points = np.asarray(landmarks[scheme], dtype=np.float64)
        five = five_points({scheme: points})
        for fault in _faults(points, five, header):
            return f"has landmarks {fault}"
        if five is not None:
            fives[scheme] = five
    return _disagreement(fives)


def _faults(points: NDArray, five: NDArray | None, header: PictureHeader | None) -> Iterator[str]:
    """Yield the faults of the points of one scheme, the most telling first."""
    if (np.abs(points) > MAX_PIXELS).any():  # NaN is not
        yield "that are infinite or far too large: leave a point empty that is not annotated"
        return
    annotated = points[np.isfinite(points).all(axis=1)]
    if not len(annotated):
        return
    low, high = annotated.min(axis=0), annotated.max(axis=0)
    if len(annotated) > 1 and (low == high).all():
        yield f"that all coincide (at {_at(low)}): leave them empty where a face is not annotated"
        return
    if len(annotated) > 1 and max(abs(low).max(), abs(high).max()) <= NORMALIZED:
        yield (
            f"that look normalized to 0 to 1 (they reach from {_at(low)} to {_at(high)}): multiply x by the width and "
            "y by the height of the picture"
        )
    fit = None if five is None else _fit(five)
    if five is not None and fit is not None:
        yield from _misfits(five, fit)
    if header is not None:
        yield from _outside(annotated if five is None else five, header)
    if fit is not None:
        if _stands_on_its_head(fit.roll, header):
            yield f"of a face that stands on its head (turned by {abs(fit.roll):.0f} degrees): turn picture and points"
        if fit.side < MIN_SIDE:
            yield f"of a face that is too small (of {fit.side:.1f} pixels): it must have at least {MIN_SIDE}"
        yield from _stray_points(points, five)


def _misfits(five: NDArray, fit: _Fit) -> Iterator[str]:
    """Yield why five points do not fit a face, if they do not."""
    if fit.residual <= REORDERED_RESIDUAL:
        return
    exchanged = _fit(five[:, ::-1])
    fits = {order: _fit(five[list(order)]) for order in _OTHER_ORDERS}
    explained = {order: other for order, other in fits.items() if other.residual <= fit.residual / 2}
    if fit.residual <= MAX_RESIDUAL and not explained and exchanged.residual > fit.residual / 2:
        return
    figures = f"(their fit to a face is off by {fit.residual:.0%})"
    if exchanged.residual <= fit.residual / 2 and abs(exchanged.roll) < 45:
        yield f"with x and y exchanged {figures}: exchange them"
    for order, guess in _GUESSES.items():
        if order in explained and abs(explained[order].roll) < 90:
            yield f"{guess} {figures}: the order is {_ORDER}"
    if explained:
        yield f"in another order {figures}: the order is {_ORDER}"
    yield f"that do not fit a face {figures}: correct them, or leave them empty so that the face is detected"


def _outside(points: NDArray, header: PictureHeader) -> Iterator[str]:
    """Yield why points lie outside of their picture, if one of five or half of many do."""
    size = np.array([header.width, header.height])
    outside = ((points < -1) | (points > size)).any(axis=1)  # annotations count the first pixel as 0 or 1
    if not outside.any() or (len(points) > 5 and outside.mean() < 0.5):
        return
    low, high = points.min(axis=0), points.max(axis=0)
    reach = f"(they reach from {_at(low)} to {_at(high)} where the picture has {header.width} x {header.height} pixels)"
    if (low >= -1).all():
        if header.orientation > 4 and (high <= size[::-1]).all():  # the orientation exchanges width and height
            yield f"of the picture as its EXIF orientation turns it {reach}: count the pixels that the file stores"
        yield f"outside of the picture, as if made for a larger one {reach}: scale them to the size of the picture"
    yield f"outside of the picture {reach}: correct them, or leave them empty so that the face is detected"


def _stands_on_its_head(roll: float, header: PictureHeader | None) -> bool:
    """Return True if a face is upside down both as the file stores it and as its orientation shows it."""
    turn = 0 if header is None else header.clockwise_turn
    return min(abs(roll), abs((roll + turn + 180) % 360 - 180)) > MAX_ROLL


def _stray_points(points: NDArray, five: NDArray | None) -> Iterator[str]:
    """Yield the point that is far from its face, if there is one."""
    if five is None:
        return
    on_template = transform_points(points, similarity_from_points(five, FIVE_POINT_TEMPLATE_112))
    center = np.full(2, (TEMPLATE_SIZE - 1) / 2)
    distances = np.linalg.norm(on_template - center, axis=1) / TEMPLATE_SIZE
    stray = np.flatnonzero(distances > MAX_DISTANCE)  # NaN is not
    if len(stray):
        yield f"with a point far from the face (number {stray[0]}, from 0, at {_at(points[stray[0]])}): correct it"


def _disagreement(fives: Mapping[str, NDArray]) -> str | None:
    """Return that two schemes do not show the same face, or None."""
    for first, scheme in pairwise(fives):
        if differ(fives[first], fives[scheme]):
            return f"has landmarks of two faces or sizes ({first} and {scheme} are apart): correct one of them"
    return None


def mask_fault(five: NDArray, parsing: NDArray[np.uint8]) -> str | None:
    """Return why a mask cannot belong to a face, or None if it can.

    Args:
        five: (5, 2) points of the face, in pixels of the picture.
        parsing: (H, W) Helen-11 classes of the picture.

    Returns:
        The reason without the name of the picture: "has a mask ...".
    """
    height, width = parsing.shape
    x, y = np.rint(five.clip(0, [width - 1, height - 1])).astype(int).T
    on_face = int((~np.isin(parsing[y, x], _NOT_ON_THE_FACE)).sum())
    if on_face < MIN_ON_MASK:
        return f"has a mask of another face ({on_face} of 5 landmarks lie on its face): correct mask or landmarks"
    return None


def differ(five: NDArray, other: NDArray, limit: float = MAX_DISAGREEMENT) -> bool:
    """Return True if two sets of five points, each (5, 2) in pixels, cannot belong to the same face.

    Args:
        five: Five points.
        other: The others.
        limit: Largest mean distance of two that belong to one face, as a share of its side.
    """
    distance = np.linalg.norm(five - other, axis=1).mean()
    return bool(distance > limit * min(_fit(five).side, _fit(other).side))


def _fit(five: NDArray) -> _Fit:
    """Fit five points (5, 2) to the template. Points that coincide have the residual 1 and the side 0."""
    p = (five - five.mean(axis=0)) @ np.array([1, 1j])
    spread, product = np.vdot(p, p).real, np.vdot(p, _TEMPLATE)
    if spread == 0 or product == 0:
        return _Fit(1.0, 0.0, 0.0)
    residual = float(np.sqrt(max(0.0, 1 - abs(product) ** 2 / (spread * _TEMPLATE_SPREAD))))
    return _Fit(residual, float(np.degrees(np.angle(product.conj()))), TEMPLATE_SIZE * spread / abs(product))


def _at(point: NDArray) -> str:
    return f"{point[0]:.4g}, {point[1]:.4g}"
