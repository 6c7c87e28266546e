"""`rim enroll` and `rim identify` on LFW: one sharp photograph of each person, another one reduced to CCTV size.

    python benchmarks/lfw_command_line.py my_model ../shared/data/lfw/lfw-deepfunneled /tmp/lfw

Every eighth of the people with two pictures takes part. The first picture is enrolled. The second, of 250 px, is
reduced so that its face of 110 px has 16 px. The commands find the faces themselves.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

EVERY = 8  # every eighth person has a probe
FACE, REDUCED = 110, 16  # pixels


def write_pictures(lfw, folder):
    people = [sorted(person.glob("*.jpg")) for person in sorted(lfw.iterdir()) if person.is_dir()]
    for gallery, probe, *_ in [pictures for pictures in people if len(pictures) > 1][::EVERY]:
        place = folder / "known" / gallery.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / gallery.name).write_bytes(gallery.read_bytes())
        (folder / "probes").mkdir(exist_ok=True)
        with Image.open(probe) as picture:
            size = [round(side * REDUCED / FACE) for side in picture.size]
            small = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            small.save(folder / "probes" / f"{gallery.parent.name}.png")


def rim(*arguments):
    """Run a command and return its output and the seconds it takes."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "rim_lightning", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in (0, 1, 3):
        sys.exit(done.stderr)
    return done.stdout, time.perf_counter() - start


def main():
    model, lfw, folder = map(Path, sys.argv[1:])
    write_pictures(lfw, folder)
    enrolled, enrolling = rim("enroll", "--model", model, "--index", folder / "index", folder / "known")
    answer, searching = rim(
        "identify", "--model", model, "--index", folder / "index", "--top", 5, "--json", folder / "probes"
    )
    identified = json.loads(answer)
    probes = identified["probes"]
    names = [Path(probe["picture"]).stem for probe in probes]
    ranked = [[hit["person"] for hit in probe["hits"]] for probe in probes]
    accepted = [
        (hit["person"] == name)
        for name, probe in zip(names, probes, strict=True)
        for hit in probe["hits"]
        if hit["accepted"]
    ]
    print(enrolled.splitlines()[-1])
    print(f"{len(probes)} probes, faces of {statistics.median(probe['size'] for probe in probes):.0f} px (median)")
    print(f"rank 1: {sum(name == hits[0] for name, hits in zip(names, ranked, strict=True))}")
    print(f"rank 5: {sum(name in hits for name, hits in zip(names, ranked, strict=True))}")
    own, others = sum(accepted), len(accepted) - sum(accepted)
    print(f"accepted at a FAR of {identified['far']}: {own} of their own, {others} of others")
    print(f"enrolled in {enrolling:.0f} s, identified in {searching:.0f} s")


if __name__ == "__main__":
    main()
