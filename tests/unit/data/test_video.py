"""Frames of clips: their times, which way is up, and what is said of clips that are damaged or none."""

import os
import struct
import wave
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from rim_lightning.data import video
from rim_lightning.data.video import Clip, VideoError, open_clip, time_code
from tests.helpers.clips import HEIGHT, WIDTH, background, write_clip


def gray_frames(count):
    """Frame n is of the level 8 n."""
    return (np.full((HEIGHT, WIDTH, 3), 8 * number, np.uint8) for number in range(count))


def read(path, every=1, fps=None):
    """Frames and remark."""
    with open_clip(path) as clip:
        return list(clip.frames(every, fps)), clip.remark()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", gray_frames(30))


def test_every_frame_comes_once_with_its_time_and_pixels(clip):
    frames, remark = read(clip)
    assert remark is None
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == [Fraction(number, 25) for number in range(30)]
    for frame in frames:
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.mean() == pytest.approx(8 * frame.number, abs=3)


def test_times_of_a_variable_frame_rate_are_exact(tmp_path):
    milliseconds = [0, 40, 41, 200, 1000, 1001, 61_234, 3_661_041]
    path = write_clip(tmp_path / "variable.mkv", gray_frames(8), milliseconds)
    frames, _ = read(path)
    assert [time_code(frame.time) for frame in frames] == [
        *("0:00:00.000", "0:00:00.040", "0:00:00.041", "0:00:00.200", "0:00:01.000", "0:00:01.001"),
        *("0:01:01.234", "1:01:01.041"),
    ]


def test_times_begin_with_the_first_frame(tmp_path):
    path = write_clip(tmp_path / "late.ts", gray_frames(3), [5000, 5040, 5120])
    assert [time_code(frame.time) for frame in read(path)[0]] == ["0:00:00.000", "0:00:00.040", "0:00:00.120"]


@pytest.mark.parametrize(("every", "numbers"), [(1, range(30)), (4, range(0, 30, 4)), (100, [0])])
def test_every_takes_one_frame_of_so_many(clip, every, numbers):
    assert [frame.number for frame in read(clip, every=every)[0]] == list(numbers)


def test_a_rate_takes_the_first_frame_of_each_interval(tmp_path):
    path = write_clip(tmp_path / "variable.mkv", gray_frames(8), [0, 100, 210, 390, 410, 900, 1810, 1990])
    frames, _ = read(path, fps=Fraction(5))  # intervals of 200 ms
    assert [frame.number for frame in frames] == [0, 2, 4, 5, 6]
    assert [frame.number for frame in read(path, fps=Fraction(1, 2))[0]] == [0]
    assert len(read(path, fps=Fraction(1000))[0]) == 8


def test_a_time_that_is_damaged_hides_no_frames_behind_it(clip, monkeypatch):
    times = [0, 0.1, 1000, 0.2, 0.3, 0.4, *[1] * 24]
    monkeypatch.setattr(Clip, "_time_of", lambda clip, frame, number: Fraction(times[number]))
    assert [frame.number for frame in read(clip, fps=Fraction(5))[0]] == [0, 2, 3, 5, 6]


def turned(path, target, cosine, sine):
    """Write a copy of an MP4 whose track is shown turned: the matrix of its header is (c, s; -s, c)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # version, times, number, duration, layer, group, volume
    content[place : place + 36] = struct.pack(
        ">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30
    )
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("cosine", "sine", "clockwise"), [(1, 0, 0), (0, 1, 1), (-1, 0, 2), (0, -1, 3)], ids=["0", "90", "180", "270"]
)
def test_a_clip_is_turned_as_it_says(tmp_path, cosine, sine, clockwise):
    """Telephones write what their sensor saw, and how it is to be shown."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[: HEIGHT // 2, : WIDTH // 2] = 220  # left above
    path = turned(write_clip(tmp_path / "lying.mp4", [image] * 3), tmp_path / "turned.mp4", cosine, sine)
    frame = read(path)[0][0].image
    expected = np.rot90(image, -clockwise)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 3


def test_pixels_are_made_square(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(background(), format="rgb24")))
        container.mux(stream.encode(None))
    assert read(path)[0][0].image.shape == (HEIGHT, 2 * WIDTH, 3)


@pytest.fixture
def live_frames(monkeypatch):
    """Return the number of frames in memory, whoever holds them."""
    references = []
    convert = Clip._image

    def counted(clip, frame):
        image = convert(clip, frame)
        references.append(weakref.ref(image))
        return image

    monkeypatch.setattr(Clip, "_image", counted)
    return lambda: sum(reference() is not None for reference in references)


def test_one_frame_is_in_memory_at_a_time_however_long_the_clip(tmp_path, live_frames):
    path = write_clip(tmp_path / "long.mp4", (background(number) for number in range(120)))
    counts = []
    with open_clip(path) as clip:
        for _ in clip.frames():
            counts.append(live_frames())
    assert len(counts) == 120
    assert max(counts) <= 2  # that of the loop, while the next one is made
    kept, _ = read(path)
    assert live_frames() == len(kept) == 120  # the count sees frames that are kept


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_clip_that_is_cut_off_says_so_and_keeps_what_was_read(tmp_path, ending, share):
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    frames = [background(number) for number in range(40)]
    whole = write_clip(tmp_path / f"whole.{ending}", frames, **options)
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: int(len(content) * share)])
    assert read(whole)[1] is None
    kept, remark = read(cut)
    assert 40 * share - 8 < len(kept) < 40
    assert remark is not None
    for number, frame in enumerate(kept[:-1]):  # the last one may be a part
        assert np.abs(frame.image.astype(int) - frames[number]).mean() < 12


def sound(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    with av.open(str(path)) as source, av.open(str(path.with_suffix(".mp4")), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.with_suffix(".mp4")


def test_sound_alone_is_no_clip(tmp_path):
    path = sound(tmp_path / "sound.wav")
    with pytest.raises(VideoError, match=r"sound.mp4 holds no moving pictures, only sound"):
        read(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_with_the_name_of_a_clip_is_a_picture(tmp_path, kind):
    path = tmp_path / "picture.mp4"
    Image.fromarray(background()).save(path, kind)
    with pytest.raises(VideoError, match=rf"picture.mp4 is a picture \({kind}\), not a clip"):
        read(path)


def test_nothing_but_the_file_itself_is_read(tmp_path, clip):
    """A playlist names other files and addresses; FFmpeg would open them."""
    lists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        "hls.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{clip}'\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "text.mp4": "no clip\n" * 100,
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(VideoError, match=f"{name} is no clip that can be read, or is damaged"):
            read(tmp_path / name)


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty.mp4 is empty"):
        read(tmp_path / "empty.mp4")
    with pytest.raises(FileNotFoundError, match=r"There is no clip .*none.mp4"):
        read(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="is no file that can be read"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"pipe.mp4 is no file that can be read \(Not a regular file\)"):
        read(tmp_path / "pipe.mp4")


def test_frames_beyond_the_limit_are_refused(clip, monkeypatch):
    monkeypatch.setattr(video, "MAX_FRAME", HEIGHT * WIDTH - 1)
    with pytest.raises(VideoError, match=rf"has frames of {WIDTH} x {HEIGHT} pixels, over 0 million: reduce it"):
        read(clip)


def test_a_frame_that_grows_beyond_the_limit_in_the_middle_is_left_out(clip, monkeypatch):
    with open_clip(clip) as opened:
        monkeypatch.setattr(video, "MAX_FRAME", HEIGHT * WIDTH - 1)
        assert list(opened.frames()) == []
        assert opened.remark() == "is damaged: 30 pieces of it were left out, 30 frames were read"


def test_hours_minutes_seconds():
    assert time_code(Fraction(0)) == "0:00:00.000"
    assert time_code(Fraction(12_345_678, 1000)) == "3:25:45.678"
    assert time_code(Fraction(1, 3)) == "0:00:00.333"
    assert time_code(Fraction(59_9996, 10_000)) == "0:01:00.000"
    assert time_code(Fraction(-1, 25)) == "-0:00:00.040"
