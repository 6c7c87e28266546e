"""How many frames of 720p are followed in a second, and where does the time go?

    python benchmarks/video_speed.py

The clip (H.264, 25 frames/s) is made here: synthetic faces that move over a background, or none. Each row is a process
of its own on that number of cores, the median of `--rounds` in which all rows take turns. Frames/s and shares are by
the clock on the wall, to which other work of the machine adds. The CPU time of the process depends less on that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FACES = (0, 1, 4)
STAGES = ("decode", "detect", "track", "embed")
HEIGHT, WIDTH = 720, 1280


def make_clip(file: Path, faces: int, frames: int) -> None:
    """Write a clip with faces of 80 to 140 px that walk from one side to the other."""
    import av
    import cv2
    import numpy as np

    from rim_lightning.data.synthetic.store import paint_face

    rng = np.random.default_rng(0)
    noise = rng.integers(70, 170, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    behind = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    people = []
    for person in range(faces):
        side = 80 + 20 * person
        image, *_ = paint_face(person + 1, 100 + person, 128, 16)
        people.append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = np.clip(behind + rng.normal(0, 4, behind.shape), 0, 255).astype(np.uint8)
            for person, face in enumerate(people):
                left = (100 + 250 * person + 6 * number) % (WIDTH - len(face))
                top = 20 + 160 * person
                frame[top : top + len(face), left : left + len(face)] = face
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def measure(clip: Path, cores: int) -> dict[str, float]:
    """Return the seconds of each stage, and the numbers of frames, tracks and pictures."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import torch

    torch.set_num_threads(cores)
    from rim_lightning.data.video import open_clip
    from rim_lightning.inference.recognizer import Recognizer, pool
    from rim_lightning.inference.tracks import TrackCollector, find_in_frames

    recognizer = Recognizer.from_checkpoint()
    spent = dict.fromkeys(STAGES, 0.0)

    def decoded(frames):
        iterator = iter(frames)
        while True:
            start = time.perf_counter()
            frame = next(iterator, None)
            spent["decode"] += time.perf_counter() - start
            if frame is None:
                return
            yield frame

    collector, tracks, frames = TrackCollector(4), [], 0
    begin, worked = time.perf_counter(), time.process_time()
    with open_clip(clip) as opened:
        for chunk in find_in_frames(decoded(opened.frames()), "yunet", "cpu"):
            start = time.perf_counter()
            for frame, faces in chunk:
                frames += 1
                tracks += collector.add(frame, faces)
            spent["track"] += time.perf_counter() - start
    tracks += collector.finish()
    spent["detect"] = time.perf_counter() - begin - spent["decode"] - spent["track"]
    start = time.perf_counter()
    for track in tracks:
        pool(recognizer.embed_probes([picture.image for picture in track.pictures]))
    spent["embed"] = time.perf_counter() - start
    pictures = sum(len(track.pictures) for track in tracks)
    worked = time.process_time() - worked
    return spent | {"cpu": worked, "frames": frames, "tracks": len(tracks), "pictures": pictures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=75, help="of each clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("CLIP", "CORES"), help="measure one row")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), int(options.measure[1]))))
        return
    rows = [(faces, cores) for faces in FACES for cores in (1, 2)]
    results: dict[tuple[int, int], list[dict[str, float]]] = {row: [] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        clips = {faces: Path(folder) / f"{faces}.mp4" for faces in FACES}
        for faces, clip in clips.items():
            make_clip(clip, faces, options.frames)
        for _ in range(options.rounds):
            for faces, cores in rows:
                command = [sys.executable, __file__, "--measure", str(clips[faces]), str(cores)]
                environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                results[faces, cores].append(json.loads(done.stdout))
    print("| faces in a frame | cores | frames/s | CPU a frame | decode | detect | track | embed | tracks | pictures |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (faces, cores), rounds in results.items():
        totals = [sum(one[stage] for stage in STAGES) for one in rounds]
        rate = statistics.median(one["frames"] / total for one, total in zip(rounds, totals, strict=True))
        shares = [
            statistics.median(one[stage] / total for one, total in zip(rounds, totals, strict=True)) for stage in STAGES
        ]
        cells = " | ".join(f"{share:.0%}" for share in shares)
        last = rounds[-1]
        work = 1000 * statistics.median(one["cpu"] / one["frames"] for one in rounds)
        print(f"| {faces} | {cores} | {rate:.1f} | {work:.0f} ms | {cells} | {last['tracks']} | {last['pictures']} |")


if __name__ == "__main__":
    main()
