"""Do pictures and label files of others end in a sentence? Reads damaged and hostile files, and prints what happened.

    python benchmarks/hostile_pictures.py
    PYTHONPATH=<another checkout>/src python benchmarks/hostile_pictures.py --seconds 20

Files are read in processes of their own with a limit of memory. A file was read, or refused in one sentence that names
it; anything else is a fault: a trace, several lines, a sentence without the name, the end of the process. One that
takes longer than `--seconds` hangs. The peak is the memory of the process beyond that before its first file.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.hostile import bombs, damaged, special_files, whole_pictures
from tests.helpers.hostile_labels import hostile_labels, mask


class Outcome(NamedTuple):
    """What became of a file: "read", "refused", "fault" or "hang"; seconds, peak memory in MB, and what was said."""

    kind: str
    seconds: float
    peak: float
    said: str = ""


def read_picture(path: Path) -> None:
    from rim_lightning.data import images

    with contextlib.suppress(Exception):  # each caller expects any error here: the pixels are read afterwards
        images.picture_header(path)
    images.image_format(path)
    images.has_plain_pixels(path)
    images.read_image(path)


def label_reader(name: str) -> Callable[[Path], Any]:
    """Return what reads the label file of a name, as `rim-prepare`, `rim-eval` and `rim` do."""
    from rim_lightning.data.readers import celebamask, files, helen, lfw, pair_lists, pts, table
    from rim_lightning.data.stores.prepared import PreparedStore
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder
    from rim_lightning.inference.card import read_card

    return {
        "landmarks.pts": pts.read_points,
        "landmarks.tsv": lambda file: files.read_landmark_table(file, file.parent),
        "people.csv": lambda file: table.read_table(file.parent, file),
        "validation.txt": lambda file: table.read_table(file.parent, file.with_name("whole.csv"), file),
        "splits.json": lambda file: files.read_splits(file, "helen"),
        "pairs.txt": lfw.read_pairs,
        "pairs_CALFW.txt": pair_lists.read_annotated_pairs,
        "pairs.csv": pair_lists.read_pair_csv,
        "1.txt": lambda file: helen.read_helen(file.parents[1]),
        "testnames.txt": lambda file: helen.read_helen(file.parent),
        "testing.txt": lambda file: helen.read_smith(file.parent),
        "CelebA-HQ-to-CelebA-mapping.txt": lambda file: celebamask.read_celebamask_official(file.parent),
        "mask.png": lambda file: celebamask.load_index_mask(file, file.with_name("whole.png")),
        "manifest.json": lambda file: PreparedStore(file.parent),
        "images.npy": lambda file: PreparedStore(file.parent).images[0],
        "card.json": lambda file: read_card(file.parent),
        "_embedding.json": lambda file: EmbeddedFolder(file.parent),
    }[name]


def place_label(folder: Path, name: str, content: bytes) -> Path:
    """Write a label file, with the files that its reader needs beside it."""
    from tests.helpers.hostile_labels import whole_labels

    whole = whole_labels()
    for place in ("annotation", "helen_1", "images", "labels", "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"):
        (folder / place).mkdir()
    others = {"whole.csv": "people.csv", "manifest.json": "manifest.json", "images.npy": "images.npy"}
    others |= {name: name for name in ("testnames.txt", "testing.txt")} | {"annotation/1.txt": "1.txt"}
    for other, source in others.items():
        (folder / other).write_bytes(whole[source])
    for other in ("exemplars.txt", "tuning.txt"):
        (folder / other).write_bytes(b"3 , 300_1\n")
    for picture in ("whole.png", "helen_1/100_1.jpg", "CelebA-HQ-img/0.jpg"):
        (folder / picture).write_bytes(mask())
    file = folder / ("annotation/1.txt" if name == "1.txt" else name)
    file.write_bytes(content)
    return file


def leaves(record: Any, file: Path) -> bool:
    """Return True if the image of a record lies elsewhere than below the folders of its label file."""
    image = getattr(record, "image", None)
    return image is not None and not Path(os.path.normpath(image)).is_relative_to(file.parents[file.name == "1.txt"])


def outcome_of(read: Callable[[Path], Any], file: Path) -> tuple[str, str]:
    """Read a file; return "read", "refused" or "fault", and the sentence."""
    try:
        what = read(file)
        if isinstance(what, list) and any(leaves(record, file) for record in what):
            return "fault", "a name led out of the folder"
    except (OSError, ValueError) as error:
        from rim_lightning.commands.errors import sentence_of

        said = sentence_of(error)
        names = file.name in said or str(file.parent) in said
        return ("refused" if names and "\n" not in said and len(said) < 2000 else "fault"), said[:300]
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {error}"[:300]
    return "read", ""


def memory_of(process: int | str, name: str) -> float:
    """Return the memory of a process in MB: VmRSS now, VmHWM at most."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def work(connection: Connection, memory: int) -> None:
    """Read one file after another in a process of its own."""
    import numpy
    from PIL import Image

    from rim_lightning.data.images import read_image

    Image.init()
    read_image(numpy.zeros((8, 8), numpy.uint8))
    resource.setrlimit(resource.RLIMIT_AS, (memory * 2**20,) * 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # warnings of libraries
    before = memory_of("self", "VmRSS")
    while True:
        name, file = connection.recv()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        read = read_picture if name is None else label_reader(name)
        start = time.perf_counter()
        kind, said = outcome_of(read, Path(file))
        seconds = time.perf_counter() - start
        peak = memory_of("self", "VmHWM") - before
        connection.send(Outcome(kind, seconds, peak, said))


class Reader:
    """A process that reads files; a new one after a hang or its end."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.seconds, self.memory = seconds, memory
        self.process: multiprocessing.process.BaseProcess | None = None

    def read(self, name: str | None, file: Path) -> Outcome:
        if self.process is None:
            self.connection, other = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            self.process = context.Process(target=work, args=(other, self.memory), daemon=True)
            self.process.start()
            other.close()
        self.connection.send((name, str(file)))
        try:
            if self.connection.poll(self.seconds):
                return self.connection.recv()
            outcome = Outcome("hang", self.seconds, memory_of(self.process.pid, "VmHWM"))
        except EOFError:
            outcome = Outcome("fault", 0, 0, "the process has ended")
        self.end()
        return outcome

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def picture_files(count: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield kind and file of damaged pictures of every format."""
    rng, whole = random.Random(seed), whole_pictures()
    kinds = sorted(whole)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        file = folder / f"{number:05}.png"
        file.write_bytes(damaged(whole[kind], rng))
        yield f"damaged {kind}", file
        file.unlink()


def report(rows: dict[str, list[Outcome]]) -> None:
    """Print the table."""
    print("| files | tried | read | refused in one sentence | faults | hangs | slowest, s | peak, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, outcomes in rows.items():
        counts = [sum(outcome.kind == what for outcome in outcomes) for what in ("read", "refused", "fault", "hang")]
        slowest, peak = max(outcome.seconds for outcome in outcomes), max(outcome.peak for outcome in outcomes)
        numbers = " | ".join(map(str, [len(outcomes), *counts]))
        print(f"| {kind} | {numbers} | {slowest:.2f} | {max(peak, 0):.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=2400, help="number of damaged pictures")
    parser.add_argument("--labels", type=int, default=1020, help="number of damaged label files")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--seconds", type=float, default=60, help="after which a file hangs")
    parser.add_argument("--memory", type=int, default=8192, help="MB that a process may take")
    parser.add_argument("--no-bombs", action="store_true", help="leave out files that were made to cost memory or time")
    parser.add_argument("--faults", action="store_true", help="print each fault and hang")
    options = parser.parse_args()
    rows: dict[str, list[Outcome]] = {}
    reader = Reader(options.seconds, options.memory)

    def note(row: str, what: str, outcome: Outcome) -> None:
        rows.setdefault(row, []).append(outcome)
        if options.faults and outcome.kind in ("fault", "hang"):
            print(f"{what}: {outcome.kind}: {outcome.said!r}", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind, file in picture_files(options.pictures, options.seed, folder):
            note(kind, str(file), reader.read(None, file))
        for number, (name, content) in enumerate(hostile_labels(options.labels, options.seed)):
            place = folder / f"label_{number}"
            place.mkdir()
            file = place_label(place, name, content)
            note(f"label file like {name}", f"{number} {name}", reader.read(name, file))
        reader.end()
        for what, file in special_files(folder / "special"):
            note("pipes, devices, sockets, links, folders named .png", what, reader.read(None, file))
        for name, make in {} if options.no_bombs else bombs().items():
            (folder / "bomb.png").write_bytes(make())
            note(f"made to cost: {name.split()[0].strip(',')}", name, reader.read(None, folder / "bomb.png"))
    reader.end()
    everything = [outcome for outcomes in rows.values() for outcome in outcomes]
    report(rows | {"**all**": everything})


if __name__ == "__main__":
    main()
