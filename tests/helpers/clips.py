"""Made-up clips: synthetic faces that move over a background."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from rim_lightning.data.synthetic.store import paint_face

HEIGHT, WIDTH = 120, 160
RATE = 25


def portrait(person: int, side: int) -> np.ndarray:
    """The face of a synthetic person with a frame of an eighth of its side, (side, side, 3)."""
    image, *_ = paint_face(person, 10_000 + person, 96, 12)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def background(seed: int = 0) -> np.ndarray:
    """A background that shows no face, (HEIGHT, WIDTH, 3)."""
    noise = np.random.default_rng(seed).integers(90, 150, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


Place = Callable[[int], tuple[int, int] | None]
"""Number of the frame -> left and top of a face; None where it is not seen."""


def drawn_frames(count: int, faces: Sequence[tuple[np.ndarray, Place]]) -> Iterable[np.ndarray]:
    """Frames with faces at their places; later faces lie before earlier ones. No camera sees the same face twice."""
    behind = background()
    for number in range(count):
        frame, noise = behind.copy(), np.random.default_rng(number)
        for face, place in faces:
            if (at := place(number)) is not None:
                left, top = at
                seen = np.clip(face + noise.integers(-3, 4, face.shape), 0, 255)
                frame[top : top + len(face), left : left + len(face)] = seen
        yield frame


def write_clip(
    file: Path, frames: Iterable[np.ndarray], times: Sequence[int] | None = None, codec: str = "mpeg4", **options: str
) -> Path:
    """Write a clip of `RATE` frames per second, or with frames at given milliseconds."""
    with av.open(str(file), "w", options=options) as container:
        stream = container.add_stream(codec, rate=1000 if times is not None else RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, RATE if times is None else 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file
