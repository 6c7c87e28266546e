"""Read the frames of a clip one by one, with their times. Needs the extra "video"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import MIN_SIDE, image_format
from rim_lightning.extras import require_extra
from rim_lightning.files import open_regular, printable

CLIP_FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "flv", "mpeg", "mpegts", "mpegvideo"),
    *("h264", "hevc", "ogg", "mxf", "dhav", "dv", "mjpeg", "nut"),
)
"""Formats of clips that are opened. FFmpeg knows more, some of which read other files or addresses: playlists."""

MAX_FRAME = 40_000_000
"""Largest number of pixels of a frame: 8K has 33 million."""

MAX_FAULTS = 1000
"""Number of damaged packets in a row after which a clip is not read further."""


EARLY_END, LATE_END = Fraction(1, 4), Fraction(2)
"""Seconds by which frames may end before the stated end of a clip: without sound, and with it, which may be longer."""


class VideoError(ValueError):
    """A clip that cannot be used. The message names it and says what to do."""


class Frame(NamedTuple):
    """A frame of a clip.

    Attributes:
        number: Number of the frame in the clip, from 0.
        time: Seconds since the first frame of the clip's own clock.
        image: (H, W, 3) uint8 RGB, upright, with square pixels.
    """

    number: int
    time: Fraction
    image: NDArray[np.uint8]


class Clip:
    """A clip that is open. Use `open_clip`.

    Attributes:
        name: Name of the clip, for messages.
        expected: Number of frames that its header promises; 0 if it does not say.
        decoded: Number of frames that were decoded.
        damaged: Number of packets that are damaged, and of frames that could not be decoded.
        ended: Why no more frames could be read, as the end of a sentence; None at the end of the clip.
    """

    def __init__(self, container: Any, name: str) -> None:
        self.name = name
        self.decoded = self.damaged = self._packets = 0
        self._last = Fraction(0)  # seconds
        self.ended: str | None = None
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(MAX_FRAME)}
        self._start = self._stream.start_time or 0
        self.expected: int = self._stream.frames or self._guessed()

    def frames(self, every: int = 1, fps: Fraction | None = None) -> Iterator[Frame]:
        """Yield frames in the order in which they are shown. One is in memory at a time.

        Args:
            every: Yield one frame of so many.
            fps: Frames per second that are yielded, by their times; None for all of `every`.

        Yields:
            The frames.
        """
        last, due = Fraction(0), Fraction(0)  # of the frame before; of the next one by the rate
        for number, frame in enumerate(self._decoded()):
            time = self._last = self._time_of(frame, number)
            if fps is not None:
                if last <= time < due:  # of a damaged clip, times may run backwards
                    continue
                last, due = time, (time * fps // 1 + 1) / fps
            elif number % every:
                continue
            image = self._image(frame)
            if image is None:
                self.damaged += 1
            else:
                yield Frame(number, time, image)

    def remark(self) -> str | None:
        """Return what could not be read of the clip, as the end of a sentence that begins with its name.

        It is known after the frames were read. None if nothing is missing.
        """
        if self.ended:
            return f"is damaged behind its first {self.decoded} frames ({self.ended}): the rest is missing"
        if self.damaged:
            pieces = "a piece of it was" if self.damaged == 1 else f"{self.damaged} pieces of it were"
            return f"is damaged: {pieces} left out, {self.decoded} frames were read"
        if self._packets < self._stream.frames:
            return f"is cut off: it has {self._packets} of the {self._stream.frames} frames that it promises"
        duration = Fraction(self._container.duration or 0, 10**6)
        slack = LATE_END if self._container.streams.audio else EARLY_END
        if not self._stream.frames and self._last < duration - slack:
            return f"is cut off: it ends at {time_code(self._last)} of the {time_code(duration)} that it promises"
        return None

    def _decoded(self) -> Iterator[Any]:
        """Decode packet by packet; skip those that are damaged."""
        from av.error import FFmpegError

        packets = self._container.demux(self._stream)
        in_a_row = 0
        while in_a_row < MAX_FAULTS:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (FFmpegError, OSError, ValueError) as error:
                self.ended = _reason(error)
                return
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError, RuntimeError) as error:
                self.damaged += 1
                in_a_row += 1
                fault = _reason(error)
                continue
            in_a_row = 0
            self._packets += packet.size > 0
            self.damaged += packet.is_corrupt
            for frame in frames:
                self.decoded += 1
                yield frame
        self.ended = fault

    def _time_of(self, frame: Any, number: int) -> Fraction:
        """Return the time of a frame; by its number if the clip does not say."""
        if frame.pts is None:
            rate = self._stream.average_rate or self._stream.guessed_rate or 25
            return Fraction(number) / Fraction(rate)
        return (frame.pts - self._start) * Fraction(frame.time_base or self._stream.time_base)

    def _image(self, frame: Any) -> NDArray[np.uint8] | None:
        """Return a frame as RGB, upright and with square pixels; None if it cannot be converted."""
        if not min(frame.width, frame.height) >= MIN_SIDE or frame.width * frame.height > MAX_FRAME:
            return None
        ratio = self._stream.sample_aspect_ratio or 1  # width of a pixel by its height
        width = round(frame.width * ratio) if 1 / 4 <= ratio <= 4 else frame.width
        if width * frame.height > MAX_FRAME:
            return None
        try:
            image = frame.to_ndarray(format="rgb24", width=width, height=frame.height)
        except (ValueError, OSError, RuntimeError):  # of FFmpeg: a format of pixels that it cannot convert
            return None
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))

    def _guessed(self) -> int:
        """Return the number of frames by duration and rate; 0 if either is unknown."""
        rate, duration = self._stream.average_rate, self._container.duration  # in microseconds
        return round(Fraction(rate) * duration / 10**6) if rate and duration and duration > 0 else 0


@contextmanager
def open_clip(path: str | Path) -> Iterator[Clip]:
    """Open a clip.

    Nothing but the file itself is read: no playlist, no address, no other file.

    Args:
        path: The clip.

    Yields:
        The clip.

    Raises:
        MissingExtra: If PyAV is not installed.
        FileNotFoundError: If there is no such file.
        VideoError: If it is no clip, is damaged from the beginning, or holds no moving pictures.
    """
    require_extra("video", "Reading a clip")
    name = printable(str(path))
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no clip {name}.") from None
    except OSError as error:
        raise VideoError(f"{name} is no file that can be read ({error.strerror}): give a clip.") from None
    with file:
        container = _open_container(file, Path(path), name)
        with container:
            if not container.streams.video:
                raise VideoError(f"{name} holds no moving pictures, only sound or other data: give a clip.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{name} is in a format that is not known here: convert it, for example to H.264.")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > MAX_FRAME:
                raise VideoError(
                    f"{name} has frames of {width} x {height} pixels, over {MAX_FRAME // 10**6} million: reduce it."
                )
            yield Clip(container, name)


def time_code(seconds: Fraction) -> str:
    """Return a time as h:mm:ss.mmm, rounded to a millisecond.

    Example:
        >>> time_code(Fraction(3661041, 1000))
        '1:01:01.041'
    """
    milliseconds = round(seconds * 1000)
    sign, rest = ("-" if milliseconds < 0 else ""), abs(milliseconds)
    return f"{sign}{rest // 3_600_000}:{rest // 60_000 % 60:02}:{rest // 1000 % 60:02}.{rest % 1000:03}"


def _open_container(file: BufferedReader, path: Path, name: str) -> Any:
    """Open the container of a clip."""
    import av
    from av.error import FFmpegError

    if file.peek(1) == b"":
        raise VideoError(f"{name} is empty: get a new copy.")
    try:
        return av.open(
            file,
            container_options={"format_whitelist": ",".join(CLIP_FORMATS), "protocol_whitelist": "none"},
            metadata_errors="replace",
        )
    except (FFmpegError, OSError, ValueError) as error:
        kind = image_format(path)
        if kind is not None:
            raise VideoError(
                f"{name} is a picture ({kind}), not a clip: give it to the command as a picture."
            ) from None
        raise VideoError(f"{name} is no clip that can be read, or is damaged ({_reason(error)}).") from None


def _reason(error: BaseException) -> str:
    """Return what FFmpeg says, without the name of a file."""
    text = getattr(error, "strerror", None) or str(error).partition(":")[0]
    return str(text).strip().rstrip(".") or type(error).__name__
