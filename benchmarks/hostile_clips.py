"""Do damaged clips end in frames or a sentence? Reads clips that were cut off or changed, and prints what happened.

    python benchmarks/hostile_clips.py

Small clips of several formats are damaged by a seed and read in a process of their own with a limit of memory. The
frames that could be read come with a remark about the rest, or the clip is refused in one sentence that names it.
Anything else is a fault: a trace, several lines, frames of another shape, the end of the process. A clip that takes
longer than `--seconds` hangs. Lines that FFmpeg itself wrote to the error output are counted.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

FRAMES = 24
WHOLE, PART, REFUSED, FAULT, HANG = "whole", "in part", "refused", "fault", "hang"
DAMAGE = ("cut off", "bytes turned", "a piece taken out", "a piece of zeros")


class ClipOutcome(NamedTuple):
    """What became of a clip: its kind, frames, seconds, peak memory in MB, what was said."""

    kind: str
    frames: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    said: str = ""


def whole_clips(folder: Path) -> dict[str, bytes]:
    """Return format -> content of an undamaged clip of `FRAMES` frames."""
    from tests.helpers.clips import background, write_clip

    made = {
        "mp4, index at the end": ("a.mp4", "mpeg4", {}),
        "mp4, index in front": ("b.mp4", "mpeg4", {"movflags": "faststart"}),
        "mp4, H.264": ("c.mp4", "libx264", {"movflags": "faststart"}),
        "Matroska, H.264": ("d.mkv", "libx264", {}),
        "AVI": ("e.avi", "mpeg4", {}),
        "MPEG-TS": ("f.ts", "mpeg2video", {}),
    }
    frames = [background(number) for number in range(FRAMES)]
    return {
        kind: write_clip(folder / name, frames, codec=codec, **options).read_bytes()
        for kind, (name, codec, options) in made.items()
    }


def harmed(content: bytes, damage: str, rng: random.Random) -> bytes:
    """Return a clip with one kind of `DAMAGE`."""
    if damage == "cut off":
        return content[: rng.randrange(1, len(content))]
    start = rng.randrange(len(content))
    length = rng.randrange(1, max(2, len(content) // 4))
    if damage == "a piece taken out":
        return content[:start] + content[start + length :] or b"\0"
    changed = bytearray(content)
    if damage == "a piece of zeros":
        changed[start : start + length] = bytes(len(changed[start : start + length]))
    else:
        head = rng.random() < 0.5  # half of them in the headers
        for _ in range(rng.randrange(1, 20)):
            changed[rng.randrange(min(2000, len(changed)) if head else len(changed))] = rng.randrange(256)
    return bytes(changed)


def hostile_clips(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield format, damage and content of damaged clips."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = whole_clips(Path(folder))
    for number in range(count):
        kind = list(whole)[number % len(whole)]
        damage = DAMAGE[number // len(whole) % len(DAMAGE)]
        yield kind, damage, harmed(whole[kind], damage, rng)


def outcome_of(path: Path) -> ClipOutcome:
    """Read a clip as `rim tracks` does."""
    from rim_lightning.commands.errors import sentence_of
    from rim_lightning.data.video import open_clip, time_code

    frames = 0
    try:
        with open_clip(path) as clip:
            for frame in clip.frames():
                frames += 1
                time_code(frame.time)
                if frame.image.ndim != 3 or frame.image.shape[2] != 3 or frame.image.dtype.name != "uint8":
                    return ClipOutcome(FAULT, frames, said=f"a frame of shape {frame.image.shape}")
            remark = clip.remark()
    except (OSError, ValueError) as error:
        said = sentence_of(error)
        good = path.name in said and "\n" not in said and len(said) < 1000
        return ClipOutcome(REFUSED if good else FAULT, frames, said=said[:300])
    except BaseException as error:
        return ClipOutcome(FAULT, frames, said=f"{type(error).__name__}: {error}"[:300])
    return ClipOutcome(PART if remark else WHOLE, frames, said=remark or "")


def memory_of(process: int | str, name: str) -> float:
    """Return the memory of a process in MB: VmRSS now, VmHWM at most."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def work(connection: Connection, memory: int, errors: str) -> None:
    """Read one clip after another in a process of its own."""
    import av  # noqa: F401

    import rim_lightning.data.video  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (memory * 2**20,) * 2)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND | os.O_CREAT), sys.stderr.fileno())
    before = memory_of("self", "VmRSS")
    while True:
        path = Path(connection.recv())
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        start = time.perf_counter()
        outcome = outcome_of(path)
        seconds = time.perf_counter() - start
        connection.send(outcome._replace(seconds=seconds, peak=memory_of("self", "VmHWM") - before))


class ClipReader:
    """A process that reads clips; a new one after a hang or its end."""

    def __init__(self, seconds: float, memory: int, errors: Path) -> None:
        self.seconds, self.memory, self.errors = seconds, memory, errors
        self.process: multiprocessing.process.BaseProcess | None = None

    def read(self, path: Path) -> ClipOutcome:
        if self.process is None:
            self.connection, other = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            self.process = context.Process(target=work, args=(other, self.memory, str(self.errors)), daemon=True)
            self.process.start()
            other.close()
        self.connection.send(str(path))
        try:
            if self.connection.poll(self.seconds):
                return self.connection.recv()
            outcome = ClipOutcome(HANG, 0, self.seconds)
        except EOFError:
            outcome = ClipOutcome(FAULT, said="the process has ended")
        self.end()
        return outcome

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="number of damaged clips")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--seconds", type=float, default=60, help="after which a clip hangs")
    parser.add_argument("--memory", type=int, default=4096, help="MB that a process may take")
    options = parser.parse_args()
    rows: dict[str, list[ClipOutcome]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        errors = Path(temporary) / "errors.txt"
        reader = ClipReader(options.seconds, options.memory, errors)
        for number, (kind, damage, content) in enumerate(hostile_clips(options.count, options.seed)):
            path = Path(temporary) / f"{number:04}.mp4"
            path.write_bytes(content)
            outcome = reader.read(path)
            if outcome.kind in (FAULT, HANG):
                print(f"{number} {kind}, {damage}: {outcome}", flush=True)
            for row in (kind, damage, "**all**"):
                rows.setdefault(row, []).append(outcome)
            path.unlink()
        reader.end()
        lines = len(errors.read_text(errors="replace").splitlines())
    print(
        "| clips | tried | whole | in part, with a remark | refused in one sentence | faults | hangs | frames read | "
        "slowest, s | peak, MB |"
    )
    print("|---|" + "---|" * 9)
    for row in sorted(rows, key=lambda row: (row in DAMAGE, row == "**all**")):
        outcomes = rows[row]
        counts = [sum(outcome.kind == what for outcome in outcomes) for what in (WHOLE, PART, REFUSED, FAULT, HANG)]
        share = sum(outcome.frames for outcome in outcomes) / (FRAMES * len(outcomes))
        slowest, peak = max(outcome.seconds for outcome in outcomes), max(outcome.peak for outcome in outcomes)
        numbers = " | ".join(map(str, [len(outcomes), *counts]))
        print(f"| {row} | {numbers} | {share:.0%} | {slowest:.2f} | {max(peak, 0):.0f} |")
    print(f"\nFFmpeg itself wrote {lines} lines to the error output.")


if __name__ == "__main__":
    main()
