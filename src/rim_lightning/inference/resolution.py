"""How many pixels of a face are its own? A picture that somebody enlarged has more pixels than detail."""

import math

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import MIN_SIDE

ANALYZED = 128
"""Side in pixels to which larger faces are reduced for the spectrum."""

CYCLES = np.exp(np.arange(math.log(1.5), math.log(64.0), 0.08))
"""(F,) frequencies in cycles per face at which the spectrum is looked at."""

SHARP_SPECTRUM = np.interp(
    np.log(CYCLES),
    np.log([1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64]),
    [44, 44, 42, 40, 37, 35, 33, 30.5, 29, 27, 24, 22, 19.5, 16, 13, 10, 8],
)
"""(F,) power of sharp faces in decibels: medians over training photographs of Helen and CelebAMask-HQ. Faces differ in
contrast, which shifts all of it, and by 1 to 3 dB in shape."""

COARSE = CYCLES <= 4
"""Frequencies that tell the contrast: faces of 8 pixels have them too."""

MISSING = 8.0
"""Decibels below a sharp face from which on the detail of a frequency counts as missing."""

PIXELS_PER_CYCLE = 2.15
"""Pixels of detail for a cycle. It would be 2 if the power of an enlarged face fell all at once; on validation
photographs it falls at .93 of that."""

SPREAD = 0.12
"""Half of the width, as a logarithm, of the band that is averaged around a frequency."""

ENLARGED = 0.7
"""A face is enlarged if its detail suffices for less than this share of its pixels. A good lens takes some, too."""

ENOUGH = 40.0
"""Pixels from which on more detail decides little: RIM reads 28 px nearly like 112 (docs/model_card.md)."""

ENLARGED_FAR = 0.3
"""The same share for faces with the detail of `ENOUGH` pixels: so little that no lens or blur is likely to have taken
the rest."""

REPEATED = 0.6
"""Share of the differences between neighbors that must lie on a regular grid if pixels were repeated."""

MAX_FACTOR = 17.0
"""Largest factor by which pixels are looked for as repeated."""

LOOKED_AT = 512
"""Side in pixels of the middle of a picture that is searched for repeated pixels."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def without_repetition(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Enlarge a picture smoothly that was enlarged by repeating its pixels: in blocks no detector finds a face.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8, the picture itself if no pixels are repeated; and the factor of the enlargement, 1 if there is
        none.
    """
    import cv2

    height, width = image.shape[:2]
    top, left = max(0, (height - LOOKED_AT) // 2), max(0, (width - LOOKED_AT) // 2)
    middle = image[top : top + LOOKED_AT, left : left + LOOKED_AT]
    factor = repetition(middle.astype(np.float32) @ LUMA) if min(middle.shape[:2]) >= 2 * MIN_SIDE else 1.0
    if factor == 1:
        return image, 1.0
    small = cv2.resize(image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8), factor


def size_of_detail(image: NDArray[np.uint8], center: NDArray[np.float64], size: float, factor: float = 1.0) -> float:
    """Estimate the side of the smallest face that holds the detail of a face in a picture.

    A picture that was enlarged lacks the fine detail of a sharp face of its size: smoothly, if it was enlarged by
    bilinear, bicubic or Lanczos interpolation, or because its pixels are repeated. Both are looked at in the pixels of
    the picture, before the face is warped.

    Args:
        image: (H, W, 3) uint8 RGB.
        center: (2,) center of the square of the face, in pixels of the picture.
        size: Side of that square in pixels.
        factor: Factor by which the pixels of the whole picture were repeated, see `without_repetition`.

    Returns:
        Side in pixels; `size` if the face is as sharp as others of its size, or has much detail (`ENOUGH`) and was not
        enlarged far. Repeated pixels are counted at any size, because there is no doubt about them.
    """
    low = np.maximum(np.floor(center - size / 2 + 0.5), 0).astype(int)
    x1, y1 = np.ceil(center + size / 2 + 0.5).astype(int)
    luma = image[low[1] : max(y1, 0), low[0] : max(x1, 0)].astype(np.float32) @ LUMA
    if min(luma.shape) < 8:
        return size
    factor = factor if factor > 1 else repetition(luma)
    if factor > 1:
        return size / factor
    detail = PIXELS_PER_CYCLE * cutoff(luma, size)
    share = ENLARGED if detail < ENOUGH else ENLARGED_FAR
    return detail if detail < share * size else size


def cutoff(luma: NDArray[np.float32], size: float) -> float:
    """Return the frequency from which on a face has less detail than a sharp one.

    Args:
        luma: (h, w) pixels of the face, 0 to 255.
        size: Side of the square of the face in pixels. The pixels are those of the square, or a part of them.

    Returns:
        Cycles per face; infinity if there is no such frequency.
    """
    import cv2

    if size > ANALYZED:
        height, width = luma.shape
        scale = ANALYZED / size
        shape = (max(2, round(width * scale)), max(2, round(height * scale)))
        luma, size = np.asarray(cv2.resize(luma, shape, interpolation=cv2.INTER_AREA)), ANALYZED
    power = (_band_power(luma, size) + _band_power(luma.T, size)) / 2
    difference = 10 * np.log10(power + 1e-3) - SHARP_SPECTRUM
    difference -= difference[COARSE].mean()
    missing = np.flatnonzero((difference < -MISSING) & (CYCLES > 3) & (size / 2 >= CYCLES))
    if len(missing) == 0:
        return math.inf
    after = int(missing[0])
    drop = difference[after - 1] - difference[after]
    share = (difference[after - 1] + MISSING) / drop if difference[after - 1] > -MISSING else 0.0
    return float(CYCLES[after - 1] * (CYCLES[after] / CYCLES[after - 1]) ** share)


def repetition(luma: NDArray[np.float32]) -> float:
    """Return the factor by which pixels are repeated, across and down: nearest-neighbor enlargement.

    The differences between neighbors then lie on every k-th column and row, so that their sums over columns and rows
    have a line in their spectrum at 1 / k.

    Args:
        luma: (h, w) pixels, 0 to 255.

    Returns:
        The factor k ≥ 2; 1 if pixels are not repeated.
    """
    bins = 4096
    frequency = np.arange(bins // 2 + 1) / bins
    shares = []
    for pixels in (luma, luma.T):
        energy = np.square(np.diff(pixels, axis=1)).mean(0)
        largest = int(len(energy) / (2 * MAX_FACTOR))  # half of the steps at the largest factor
        energy = np.minimum(energy, np.partition(energy, -largest - 1)[-largest - 1])  # a frame is few large steps
        spectrum = np.abs(np.fft.rfft(energy - energy.mean(), bins))
        shares.append(spectrum / max(float(energy.sum()), 1e-6))
    share = np.minimum(*shares)
    shortest = min(luma.shape)
    share[frequency < max(1 / MAX_FACTOR, 4 / shortest)] = 0  # four steps or more
    needed = max(REPEATED, 3 / math.sqrt(shortest))
    peaks = np.flatnonzero(share >= max(needed, 0.85 * float(share.max())))
    if len(peaks) == 0:
        return 1.0
    line = peaks[: np.argmax(np.diff(peaks, append=bins) > 1) + 1]  # the lowest frequency, with the bins beside it
    return float(1 / frequency[line[np.argmax(share[line])]])


def _band_power(pixels: NDArray[np.float32], size: float) -> NDArray[np.float64]:
    """Return the mean power of all rows in bands around `CYCLES`, (F,)."""
    count = pixels.shape[1]
    window = np.hanning(count + 2)[1:-1]
    slope = np.linspace(-1, 1, count)
    rows = pixels - pixels.mean(1, keepdims=True)
    rows = rows - np.outer(rows @ slope / (slope @ slope), slope)
    power = np.square(np.abs(np.fft.rfft(rows * window))).mean(0) / (window @ window) * (100 / size)
    cycles = np.fft.rfftfreq(count) * size
    below = np.concatenate([[0.0], np.cumsum((power[1:] + power[:-1]) / 2 * np.diff(cycles))])  # integral
    low, high = CYCLES * math.exp(-SPREAD), CYCLES * math.exp(SPREAD)
    return (np.interp(high, cycles, below) - np.interp(low, cycles, below)) / (high - low)
