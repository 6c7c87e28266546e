"""Work a case from a clip to a report: tracks, a search, a record, its replay and its report.

    python docs/worked_case.py outputs/worked_case

The clip is pasted together: a face of few pixels moves through an empty hall. It is that of Eileen Collins, astronaut
(`docs/example/astronaut.png`, NASA, public domain). The gallery has her and some drawn people. The commands are printed
as they run. Needs the extras `gallery`, `video` and `report`.
"""

import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np

from rim_lightning.data.synthetic.store import paint_face

DOCS = Path(__file__).parent
ASTRONAUT = DOCS / "example" / "astronaut.png"
HEIGHT, WIDTH, FRAMES, FPS = 360, 640, 48, 12
SMALLEST = 56  # side in pixels of the picture that is pasted; its face has about half of that
DRAWN = 4  # people


def make_clip(file: Path) -> None:
    """Write a clip in which the face moves from left to right and comes nearer."""
    photograph = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2RGB)
    random = np.random.default_rng(0)
    hall = np.linspace(70, 150, HEIGHT)[:, None, None] * np.ones((1, WIDTH, 3))
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            frame = hall + random.normal(0, 3, hall.shape)
            side = SMALLEST + 12 * number // FRAMES
            left, top = 40 + 10 * number, 150 + round(4 * np.sin(number / 3))
            face = cv2.resize(photograph, (side, side), interpolation=cv2.INTER_AREA)
            frame[top : top + side, left : left + side] = face
            picture = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def make_portraits(folder: Path) -> None:
    """Write a folder with a folder for each person."""
    (folder / "Eileen Collins").mkdir(parents=True)
    (folder / "Eileen Collins" / "nasa.png").write_bytes(ASTRONAUT.read_bytes())
    for number in range(1, DRAWN + 1):
        image, *_ = paint_face(number, 100 + number, 256, 32)
        place = folder / f"drawn person {number}"
        place.mkdir()
        cv2.imwrite(str(place / "portrait.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def rim(folder: Path, *words: str) -> str:
    """Run a command in a folder, print it and what it says, and return that. 1 is the answer no."""
    print("$ rim", *(f'"{word}"' if " " in word else word for word in words), flush=True)
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", *words]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout, flush=True)
    if done.returncode not in (0, 1):
        sys.exit(f"rim {words[0]} ended with {done.returncode}.")
    return done.stdout


def work_case(folder: Path) -> None:
    """Make the material of the case in a new folder and work it."""
    folder.mkdir(parents=True)
    make_clip(folder / "hall.mp4")
    make_portraits(folder / "portraits")
    rim(folder, "tracks", "hall.mp4", "tracks")
    rim(folder, "enroll", "--index", "known", "portraits")
    rim(folder, "identify", "--index", "known", "tracks/tracks.csv", "--top", "2")
    (best, *_) = sorted((folder / "tracks" / "track_0001").glob("*.png"))
    probe, portrait = str(best.relative_to(folder)), "portraits/Eileen Collins/nasa.png"
    reports = ("--report", "case.html", "--report", "case.pdf")
    rim(folder, "verify", probe, portrait, "--record", "records", "--reviewer", "Ana Lang", *reports)
    (record,) = (folder / "records").iterdir()
    rim(folder, "replay", f"records/{record.name}")


if __name__ == "__main__":
    work_case(Path(sys.argv[1]))
