"""Is a gallery better that pools the pictures of a person?

    python benchmarks/pooled_gallery.py my_model prepared/lfw_128

People with several pictures, whom nothing was chosen on. Some pictures of each are the gallery, the others are probes;
that is drawn anew several times. A gallery of pictures accepts a person if the nearest picture is above the threshold
of one picture; a gallery that pools compares with the mean, at the threshold of the number of pictures. The first table
has the rates at the thresholds of the card, the second the right people found at equal rates of strangers. Intervals
are over people (95 %). The embeddings are kept in `--cache`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.stores.packed import open_store
from rim_lightning.functional.seeded_probes import REDUCTIONS, ProbeKind
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import Model, read_model
from rim_lightning.inference.people import People, embed_people

FARS = (1e-2, 1e-3, 1e-4)
MIXED = "2 to 4"


class Searches(NamedTuple):
    """Every probe against every person: scores (probes, people), less the threshold at each FAR (F, probes, people)."""

    best: np.ndarray
    best_margin: np.ndarray
    pooled: np.ndarray
    pooled_margin: np.ndarray
    person: np.ndarray  # (probes,) position of the right person


def people_of(model: Model, options: argparse.Namespace) -> People:
    """Embed the people who have three pictures, or read what was kept."""
    kind = ProbeKind(options.degradation, None if options.misalignment == "none" else options.misalignment)
    if options.cache and options.cache.is_file():
        people = People("kept", "", False, kind, **torch.load(options.cache, weights_only=True))
    else:
        store = open_store(options.people)
        every = store.select("test")
        numbers, counts = np.unique(store.identity[every], return_counts=True)
        several = every[np.isin(store.identity[every], numbers[(counts >= 3) & (numbers >= 0)])]
        faces = FaceDataset(store, several, schemes=())
        mixed = model.usage.mixture is not None
        people = embed_people(model.rim, faces, "", "", options.sizes, kind, looks=model.usage, teacher=mixed)
        if options.cache:
            names = ("identity", "sharp", "probes", "teacher")
            torch.save({name: getattr(people, name) for name in names}, options.cache)
    return people if model.usage.mixture is None else people.mixed(model.usage.mixture)


def searches(people: People, calibration: Calibration, size: int, count: int | None, draws: int) -> Iterator[Searches]:
    """Draw galleries of `count` pictures of each person; None for all but one, and at most four."""
    random = np.random.default_rng(0)
    least = 3 if count is None else count + 1
    rows = [np.flatnonzero(people.identity.numpy() == number) for number in people.identity.unique().numpy()]
    rows = [own for own in rows if len(own) >= least]
    for _ in range(draws):
        shuffled = [random.permutation(own) for own in rows]
        taken = [min(len(own) - 1, 4) if count is None else count for own in rows]
        galleries = [own[:number] for own, number in zip(shuffled, taken, strict=True)]
        left = [own[number:] for own, number in zip(shuffled, taken, strict=True)]
        probes = people.probes[size][np.concatenate(left)]
        pictures = [probes @ people.sharp[own].T for own in galleries]
        pooled = probes @ torch.stack([F.normalize(people.sharp[own].mean(0), dim=0) for own in galleries]).T
        best = torch.stack([scores.amax(1) for scores in pictures], dim=1)
        one = [calibration.operating_point(size, far).threshold for far in FARS]
        several = [[calibration.operating_point(size, far, 1, number).threshold for number in taken] for far in FARS]
        yield Searches(
            best.numpy(),
            best.numpy() - np.array(one)[:, None, None],
            pooled.numpy(),
            pooled.numpy() - np.array(several)[:, None, :],
            np.repeat(np.arange(len(rows)), [len(own) for own in left]),
        )


def shares(drawn: list[Searches], found: list[np.ndarray]) -> np.ndarray:
    """Share of the probes of each person that found the right one, over all draws, (people,)."""
    total = sum(np.bincount(each.person, hits) for each, hits in zip(drawn, found, strict=True))
    return total / sum(np.bincount(each.person) for each in drawn)


def difference(first: np.ndarray, second: np.ndarray) -> str:
    """Mean of two shares over people, and their difference with its interval."""
    random = np.random.default_rng(0)
    change = second - first
    low, high = np.percentile([random.choice(change, len(change)).mean() for _ in range(2000)], [2.5, 97.5])
    return f"{first.mean():.3f} | {second.mean():.3f} | {change.mean():+.3f} ({low:+.3f} … {high:+.3f})"


def right(scores: np.ndarray, person: np.ndarray) -> np.ndarray:
    return scores[np.arange(len(person)), person]


def is_first(scores: np.ndarray, person: np.ndarray) -> np.ndarray:
    return scores.argmax(1) == person


def strangers(scores: np.ndarray, person: np.ndarray) -> np.ndarray:
    return scores[np.arange(scores.shape[1]) != person[:, None]]


def at_card(drawn: list[Searches], name: str) -> None:
    """Print the rates at the thresholds of the card."""
    for number, far in enumerate(FARS):
        cells = []
        for margins in ([each.best_margin[number] for each in drawn], [each.pooled_margin[number] for each in drawn]):
            passed = np.concatenate([strangers(m, e.person) >= 0 for m, e in zip(margins, drawn, strict=True)])
            missed = 1 - shares(drawn, [right(m, e.person) >= 0 for m, e in zip(margins, drawn, strict=True)]).mean()
            cells.append(f"{passed.mean():.2g} | {missed:.3f}")
        print(f"| {name} | {far:g} | {' | '.join(cells)} |", flush=True)


def at_equal_rates(drawn: list[Searches], name: str) -> None:
    """Print the right people found at equal rates of strangers, and at rank 1."""
    for number, far in enumerate(FARS):
        found = []
        for margins in ([each.best for each in drawn], [each.pooled_margin[number] for each in drawn]):
            threshold = np.quantile(
                np.concatenate([strangers(m, e.person) for m, e in zip(margins, drawn, strict=True)]), 1 - far
            )
            found.append(shares(drawn, [right(m, e.person) >= threshold for m, e in zip(margins, drawn, strict=True)]))
        print(f"| {name} | found at {far:g} | {difference(*found)} |", flush=True)
    first = shares(drawn, [is_first(each.best, each.person) for each in drawn])
    for what, scores in (
        ("similarity", [each.pooled for each in drawn]),
        ("what exceeds the threshold", [each.pooled_margin[1] for each in drawn]),
    ):
        second = shares(drawn, [is_first(s, e.person) for s, e in zip(scores, drawn, strict=True)])
        print(f"| {name} | first by {what} | {difference(first, second)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("people", type=Path, help="prepared set of people whom nothing was chosen on")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 28])
    parser.add_argument("--degradation", choices=REDUCTIONS, default="camera")
    parser.add_argument("--misalignment", choices=["none", "detector"], default="detector")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--cache", type=Path, help="file for the embeddings")
    options = parser.parse_args()
    model = read_model(options.model)
    people = people_of(model, options)
    cases = {}
    for size in options.sizes:
        for count, words in ((2, "2"), (4, "4"), (None, MIXED)):
            drawn = list(searches(people, model.calibration, size, count, options.draws))
            name = f"{size} px | {words} | {drawn[0].best.shape[1]}"
            cases[name] = drawn
    print("| probe | gallery pictures | people | FAR | of pictures: realized | missed | pooled: realized | missed |")
    print("|---|---|---|---|---|---|---|---|")
    for name, drawn in cases.items():
        at_card(drawn, name)
    print("\n| probe | gallery pictures | people | right people | of pictures | pooled | difference |")
    print("|---|---|---|---|---|---|---|")
    for name, drawn in cases.items():
        at_equal_rates(drawn, name)


if __name__ == "__main__":
    main()
