"""Does work survive a power cut? Commands write to a file system whose power is cut while they write.

    sudo python benchmarks/power_cut.py prepare /tmp/cuts --data ../shared/data --cuts 30
    sudo python benchmarks/power_cut.py enroll /tmp/cuts --pictures photographs --cuts 30

The file system is an ext4 image on a loop device, which needs root on Linux. It forgets as much as a file system may:
names and sizes reach the disk every second, contents when a program asks for it (fsync). The system writes back by
itself twice: all files at one random moment, and a random half of them just before the cut. All other contents are
zeros. For every cut the command starts on a fresh copy of the image. At a random moment after its first write all of
its processes are stopped and the image is copied: it holds what had reached the disk by then, and nothing else. The
copy is mounted, which replays the journal of ext4, and the command is repeated there. Then the writer's own check
compares with what was there before, and with an undisturbed run.

prepare   rim-prepare of Helen, 64 px: the same bytes as undisturbed
enroll    rim enroll of half of the people of a folder, the other half enrolled before: all of those stay, and both
          halves are there in the end, each picture once
forget    rim forget of one person of a gallery: all others stay, the person is gone in the end
train     rim-train of small synthetic faces: resume=true ends with the same weights
sweep     rim-train -m of two jobs: rim-sweep resume, or the command itself, ends with both
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

SIZE = 512  # MiB of the file system
LONGEST_WAIT = 3.0  # seconds after the end of the command, in which names reach the disk
MOUNT = "loop,commit=1,data=writeback,nodelalloc"  # names and sizes every second, whether or not the contents are there
TRAINING = (
    "experiment=demo model=tiny data.people=24 data.views=2 'teacher.epochs=1' data.samples_per_epoch=32 "
    "data.batch_size=8 'schedule.stages=[{name: joint, epochs: 6}]' evaluate=false threads=1 workers=0"
)


class Writer(NamedTuple):
    """A command that writes, and what must hold after a cut.

    Attributes:
        prepare: Writes to the folder of the mounted image what is there before the command.
        command: Folder -> the command.
        repeat: Folder -> the command that resumes it.
        after_cut: Folder -> what is wrong before anything is repeated, or "".
        result: Folder -> digest of the outcome, which must be that of the undisturbed run.
    """

    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    repeat: Callable[[Path], list[str]]
    after_cut: Callable[[Path], str]
    result: Callable[[Path], str]


def main() -> None:
    options = _options()
    work = options.folder
    work.mkdir(parents=True, exist_ok=True)
    writer = WRITERS[options.writer](options)
    with _no_write_back():
        faults = _cut_often(writer, work, options)
    print(f"{options.writer}: {options.cuts} power cuts, {options.cuts - faults} survived")
    sys.exit(1 if faults else 0)


@contextmanager
def _no_write_back() -> Iterator[None]:
    """Let no content reach a disk by itself while the block runs. Full memory still writes back."""
    setting = Path("/proc/sys/vm/dirty_writeback_centisecs")
    earlier = setting.read_text()
    setting.write_text("0")
    try:
        yield
    finally:
        setting.write_text(earlier)


def _cut_often(writer: Writer, work: Path, options: argparse.Namespace) -> int:
    """Cut the power as often as asked. Return the number of times when something was lost."""
    fresh, undisturbed = work / "fresh.img", work / "undisturbed.img"
    _make_image(fresh)
    with _Mounted(fresh, work / "mnt") as folder:
        writer.prepare(folder)
    shutil.copyfile(fresh, undisturbed)
    with _Mounted(undisturbed, work / "mnt") as folder:
        process = _start(writer.command(folder))
        _await_first_write(folder, process)
        started = time.perf_counter()
        if process.wait():
            sys.exit(f"the undisturbed command failed with exit code {process.returncode}")
        duration = time.perf_counter() - started
        expected = writer.result(folder)
    print(f"undisturbed: writes for {duration:.1f} s, {expected[:12]}", flush=True)
    generator, faults = random.Random(options.seed), 0
    for number in range(options.cuts):
        moment = (duration + LONGEST_WAIT) * generator.random() ** 2  # most are early, when most is written
        fault = _cut(writer, work, fresh, moment, expected, generator)
        faults += bool(fault)
        print(f"cut {number + 1}, {moment:.1f} s after the first write: {fault or 'survived'}", flush=True)
    return faults


def _cut(writer: Writer, work: Path, fresh: Path, moment: float, expected: str, generator: random.Random) -> str:
    """Cut the power at a moment. Return what was lost, or ""."""
    image, cut = work / "image.img", work / "cut.img"
    image.unlink(missing_ok=True)
    shutil.copyfile(fresh, image)
    with _Mounted(image, work / "mnt") as folder:
        process = _start(writer.command(folder))
        try:
            _await_first_write(folder, process)
            earlier = moment * generator.random()
            time.sleep(earlier)
            _write_back(folder)
            time.sleep(moment - earlier)
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGSTOP)
            _write_back(folder, lambda file: generator.random() < 0.5)
            _copy_at_rest(image, cut)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.5)  # for its children
    with _Mounted(cut, work / "mnt") as folder:
        if fault := writer.after_cut(folder):
            return fault
        done = _run(writer.repeat(folder))
        if done.returncode:
            return f"repeated: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
        result = writer.result(folder)
        return "" if result == expected else f"another outcome: {result[:300]}"


def _start(command: list[str]) -> subprocess.Popen:
    """Start a command as a group of processes of its own."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _await_first_write(folder: Path, process: subprocess.Popen) -> None:
    """Wait until a process changes something in a folder, or ends."""
    earlier = sorted(folder.rglob("*"))
    while process.poll() is None and sorted(folder.rglob("*")) == earlier:
        time.sleep(0.02)


def _write_back(folder: Path, chosen: Callable[[Path], bool] = Path.is_file) -> None:
    """Let the contents of the chosen files reach the disk."""
    for file in filter(Path.is_file, folder.rglob("*")):
        if chosen(file):
            with suppress(OSError):  # it was removed
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)


def _copy_at_rest(image: Path, cut: Path) -> None:
    """Copy an image at one moment: again if the system wrote to it meanwhile."""
    earlier = b""
    while True:
        cut.unlink(missing_ok=True)
        subprocess.run(["cp", "--sparse=always", str(image), str(cut)], check=True)
        with cut.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest == earlier:
            return
        earlier = digest


def _make_image(path: Path) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(SIZE << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)


class _Mounted:
    """A mounted image. Its content is on the disk when the block ends."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place

    def __enter__(self) -> Path:
        self.place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", MOUNT, str(self.image), str(self.place)], check=True)
        return self.place

    def __exit__(self, *error: object) -> None:
        for _ in range(50):
            if subprocess.run(["umount", str(self.place)], capture_output=True).returncode == 0:
                return
            time.sleep(0.2)  # a process of the command still ends
        subprocess.run(["umount", "-l", str(self.place)], check=True)


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True)


def _module(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"rim_lightning{name}", *map(str, arguments)]


def _digest(folder: Path) -> str:
    """Return the SHA-256 of names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _preparing(options: argparse.Namespace) -> Writer:
    def command(folder: Path) -> list[str]:
        settings = (f"paths.data_dir={options.data}", f"paths.prepared_dir={folder}/prepared")
        return _module(".commands.prepare", "source=helen", "hr_size=64", "workers=2", *settings)

    return Writer(
        prepare=lambda folder: None,
        command=command,
        repeat=command,
        after_cut=lambda folder: "",
        result=lambda folder: _digest(folder / "prepared" / "helen_64"),
    )


def _people_of(folder: Path) -> dict[str, int]:
    """Return the number of pictures of each person of a gallery.

    Raises:
        ValueError: If the gallery cannot be read.
    """
    done = _run(_module("", "gallery", "list", "--index", folder / "known", "--json"))
    if done.returncode not in (0, 3):
        raise ValueError(f"the gallery cannot be read: {(done.stderr or done.stdout).strip()[-600:]}")
    people: dict[str, int] = json.loads(done.stdout)["people"]
    return people


def _lost(folder: Path, known: dict[str, int]) -> str:
    """Return which people of a gallery lack pictures, or why it cannot be read, or ""."""
    try:
        people = _people_of(folder)
    except ValueError as error:
        return str(error)
    lost = [person for person, pictures in known.items() if people.get(person) != pictures]
    return f"lost: {', '.join(lost)}" if lost else ""


def _enrolling(options: argparse.Namespace) -> Writer:
    older, newer = _halves(options)
    known = {place.name: len(list(place.iterdir())) for place in older.iterdir()}

    def command(folder: Path) -> list[str]:
        return _module("", "enroll", "--index", folder / "known", newer)

    return Writer(
        prepare=lambda folder: _must(_module("", "enroll", "--index", folder / "known", older)),
        command=command,
        repeat=command,
        after_cut=lambda folder: _lost(folder, known),
        result=lambda folder: json.dumps(_people_of(folder), sort_keys=True),
    )


def _forgetting(options: argparse.Namespace) -> Writer:
    older, _ = _halves(options)
    known = {place.name: len(list(place.iterdir())) for place in older.iterdir()}
    person = min(known)
    others = {name: pictures for name, pictures in known.items() if name != person}

    def command(folder: Path) -> list[str]:
        return _module("", "forget", "--index", folder / "known", person)

    def repeat(folder: Path) -> list[str]:
        gone = person not in _people_of(folder)
        return ["true"] if gone else command(folder)

    return Writer(
        prepare=lambda folder: _must(_module("", "enroll", "--index", folder / "known", older)),
        command=command,
        repeat=repeat,
        after_cut=lambda folder: _lost(folder, others),
        result=lambda folder: json.dumps(_people_of(folder), sort_keys=True),
    )


def _halves(options: argparse.Namespace) -> tuple[Path, Path]:
    """Return two folders with links to every other person of the folder of pictures."""
    folders = options.folder / "older", options.folder / "newer"
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    people = sorted(path for path in options.pictures.iterdir() if path.is_dir())
    for number, person in enumerate(people):
        shutil.copytree(person, folders[number % 2] / person.name)
    return folders


def _training(options: argparse.Namespace) -> Writer:
    def command(folder: Path) -> list[str]:
        return _module(".commands.train", *_settings(folder), f"hydra.run.dir={folder}/run")

    def repeat(folder: Path) -> list[str]:
        return [*command(folder), "resume=true"]

    return Writer(
        prepare=lambda folder: None,
        command=command,
        repeat=repeat,
        after_cut=lambda folder: "",
        result=lambda folder: _weights(folder / "run"),
    )


def _sweeping(options: argparse.Namespace) -> Writer:
    def command(folder: Path) -> list[str]:
        return _module(".commands.train", "-m", *_settings(folder), "seed=1,2", f"hydra.sweep.dir={folder}/sweep")

    def repeat(folder: Path) -> list[str]:
        began = (folder / "sweep" / "sweep.json").is_file()
        return _module(".commands.sweep", "resume", folder / "sweep") if began else command(folder)

    return Writer(
        prepare=lambda folder: None,
        command=command,
        repeat=repeat,
        after_cut=lambda folder: "",
        result=lambda folder: " ".join(_weights(folder / "sweep" / job) for job in ("0", "1")),
    )


def _settings(folder: Path) -> list[str]:
    return [*shlex.split(TRAINING), f"paths.prepared_dir={folder}/prepared"]


def _weights(run: Path) -> str:
    """Return the digest of all tensors of the last checkpoint."""
    import torch

    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _must(command: list[str]) -> None:
    done = _run(command)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


WRITERS = {
    "prepare": _preparing,
    "enroll": _enrolling,
    "forget": _forgetting,
    "train": _training,
    "sweep": _sweeping,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("writer", choices=WRITERS)
    parser.add_argument("folder", type=Path, help="folder for the images of the file system")
    parser.add_argument("--data", type=Path, help="folder of the data, for prepare")
    parser.add_argument("--pictures", type=Path, help="folder with a folder of pictures for each person")
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
