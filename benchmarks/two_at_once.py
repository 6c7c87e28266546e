"""Does a gallery survive two commands at once? Pairs of commands start together on a copy of a gallery, many times.

    python benchmarks/two_at_once.py /tmp/pairs
    python benchmarks/two_at_once.py /tmp/pairs --trials 200 --pairs forget+forget enroll+forget

Everything is made here: drawn faces, read as aligned ones, and galleries of the model of the package. Each trial copies
a gallery of four people, starts the commands a random part of 0.15 s apart, and asks what the gallery holds when all
have ended. A trial has a fault if a command ends with another exit code than it may, if somebody who was removed is
there (also in the bytes of any file), if somebody else is gone, or if a picture stands there twice.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import cv2
import lancedb  # noqa: F401 (before the commands, which are forked from this process)
from tqdm import tqdm

from rim_lightning import Recognizer
from rim_lightning.commands.rim.main import main as rim
from rim_lightning.commands.rim.model_choice import ModelChoice
from rim_lightning.data.synthetic.store import paint_face

PEOPLE = ("anna", "bert", "cleo", "dora")  # in every gallery
NEWCOMERS = ("emil", "fred")  # in the folder that is enrolled
LATEST = 0.15  # seconds; by how much the second command starts later at most
LONGEST = 120.0  # seconds for a command


class Pair(NamedTuple):
    """Commands that run at once.

    Attributes:
        commands: Arguments of `rim`. GALLERY and NEWCOMERS stand for their places.
        people: Who must be in the gallery in the end.
        gone: Who must not be in any file of the gallery.
        exit_codes: Exit codes that are right.
        new: True to begin without a gallery.
    """

    commands: Sequence[Sequence[str]]
    people: Set[str]
    gone: Set[str] = frozenset()
    exit_codes: Sequence[int] = (0,)
    new: bool = False


def _forget(person: str) -> list[str]:
    return ["forget", "--index", "GALLERY", person]


ENROLL = ["enroll", "--index", "GALLERY", "NEWCOMERS", "--aligned"]
SYNC = [*ENROLL, "--sync"]
IDENTIFY = ["identify", "--index", "GALLERY", "--aligned=both", "PROBE"]
LIST = ["gallery", "list", "--index", "GALLERY"]
EVERYBODY, BOTH = set(PEOPLE), {*PEOPLE, *NEWCOMERS}
PAIRS = {
    "forget+forget": Pair([_forget("anna"), _forget("bert")], EVERYBODY - {"anna", "bert"}, {"anna", "bert"}),
    "enroll+forget": Pair([ENROLL, _forget("anna")], BOTH - {"anna"}, {"anna"}),
    "enroll+enroll": Pair([ENROLL, ENROLL], BOTH),
    "sync+forget": Pair([SYNC, _forget("anna")], BOTH - {"anna"}, {"anna"}),
    "create+create": Pair([ENROLL, ENROLL], set(NEWCOMERS), new=True),
    "identify+forget": Pair([IDENTIFY, _forget("anna")], EVERYBODY - {"anna"}, {"anna"}, exit_codes=(0, 1)),
    "identify+enroll": Pair([IDENTIFY, ENROLL], BOTH, exit_codes=(0, 1)),
    "list+forget": Pair([LIST, _forget("anna")], EVERYBODY - {"anna"}, {"anna"}),
    "four forgets": Pair([_forget(person) for person in PEOPLE], set(), EVERYBODY),
}


def main() -> None:
    options = _options()
    warnings.filterwarnings("ignore", "lancedb fork support is experimental")
    place = options.folder.absolute()
    shutil.rmtree(place, ignore_errors=True)
    for number, person in enumerate((*PEOPLE, *NEWCOMERS)):
        _paint(place / ("known" if person in PEOPLE else "newcomers") / person, number)
    _must_run(["enroll", "--index", str(place / "fresh"), str(place / "known"), "--aligned"])
    recognizer = Recognizer.from_checkpoint(ModelChoice(None, "cpu", "yunet").chosen_path())
    ModelChoice.load = lambda *arguments, **options: recognizer  # commands meet sooner if each does not load it
    print("| at once | trials | faults |\n|---|---|---|", flush=True)
    faults = 0
    for name in options.pairs:
        found = [
            fault
            for trial in tqdm(range(options.trials), name, file=sys.stderr, leave=False)
            if (fault := _trial(PAIRS[name], place, random.Random(f"{options.seed} {name} {trial}")))
        ]
        faults += len(found)
        print(f"| {name} | {options.trials} | {len(found)} |", flush=True)
        for fault in dict.fromkeys(found):
            print(f"{found.count(fault)} times: {fault}", file=sys.stderr, flush=True)
    sys.exit(1 if faults else 0)


def _trial(pair: Pair, place: Path, generator: random.Random) -> str:
    """Run the commands of a pair at once. Return the fault, or ""."""
    gallery = place / "gallery"
    shutil.rmtree(gallery, ignore_errors=True)
    if not pair.new:
        shutil.copytree(place / "fresh", gallery)
    places = {"GALLERY": str(gallery), "NEWCOMERS": str(place / "newcomers"), "PROBE": str(place / "known" / "cleo")}
    commands = [[places.get(word, word) for word in command] for command in pair.commands]
    runs = [_start(command, generator.random() * LATEST * (number > 0)) for number, command in enumerate(commands)]
    for command, (process, output) in zip(commands, runs, strict=True):
        process.join(LONGEST)
        if process.exitcode is None:
            process.kill()
            return f"{command[0]} hangs"
        if process.exitcode not in pair.exit_codes:
            return f"{command[0]} ended with {process.exitcode}: {output.read_text().strip()[-500:]}"
    return _wrong_in(gallery, pair)


def _wrong_in(gallery: Path, pair: Pair) -> str:
    """Say what is wrong with a gallery after the commands, or ""."""
    process, output = _start(["gallery", "list", "--index", str(gallery), "--json"])
    process.join(LONGEST)
    if process.exitcode:
        return f"it cannot be listed: {output.read_text().strip()[-500:]}"
    people = json.loads(output.read_text())["people"]
    if people != dict.fromkeys(sorted(pair.people), 1):
        return f"it holds {people}"
    contents = [file.read_bytes() for file in gallery.rglob("*") if file.is_file()]
    remains = [person for person in pair.gone if any(person.encode() in content for content in contents)]
    return f"the files still hold {remains}" if remains else ""


def _start(command: Sequence[str], delay: float = 0.0) -> tuple[multiprocessing.process.BaseProcess, Path]:
    """Start `rim` in a process that is forked from this one, where the libraries are loaded. It prints to a file."""
    output = Path(tempfile.mkstemp(prefix="two_at_once_")[1])
    process = multiprocessing.get_context("fork").Process(target=_rim, args=(command, delay, output))
    process.start()
    return process, output


def _rim(command: Sequence[str], delay: float, output: Path) -> None:
    with output.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        time.sleep(delay)
        rim(list(command))


def _must_run(command: Sequence[str]) -> None:
    process, output = _start(command)
    process.join()
    if process.exitcode:
        sys.exit(f"rim {' '.join(command)} failed: {output.read_text()[-1000:]}")


def _paint(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    image = paint_face(identity_seed=number, view_seed=number, size=128)[0]
    cv2.imwrite(str(folder / "1.png"), image[..., ::-1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for pictures and galleries; what is there is removed")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
