"""Does a quality score say which probes to set aside, better than their size alone?

    python benchmarks/probe_quality.py my_model prepared/celeba_128 prepared/faces_128
    python benchmarks/probe_quality.py my_model prepared/lfw_128 --split test --sizes 8 12 16 28 --card

Probes of several sizes are compared with sharp pictures of the same people. Error versus discard (ISO/IEC 29794-1): of
the pairs that are left when the share with the worst probes is discarded, how many true ones are missed at a fixed
false accept rate? The figure is the mean over 0 to 30 % discarded. Each candidate is joined with the size in a logistic
regression that is fitted on one half of the people and judged on the other half. With --card nothing is fitted: the
thresholds and the quality of the card are judged. Intervals resample people.

The embeddings are kept in `--cache`. With --write the quality that was fitted on all of these people is added to a copy
of the model folder, whose thresholds stay as they are.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.data.stores.packed import open_store
from rim_lightning.files import file_digest, write_json, write_text
from rim_lightning.functional.consistency import recovered_probes
from rim_lightning.functional.error_versus_discard import error_versus_discard, mean_error
from rim_lightning.functional.heatmaps import position_probabilities
from rim_lightning.functional.offset_regression import log_odds
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.functional.verification import thresholds_at_fars
from rim_lightning.inference.card import CARD, CARD_DIGEST
from rim_lightning.inference.model_folder import Model, read_model
from rim_lightning.inference.people import _named_images
from rim_lightning.inference.quality import MissedPairs, QualityModel, fit_quality
from rim_lightning.networks.probe_signals import SIGNALS, probe_signals
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.tiny_weights import flush_tiny_weights
from rim_lightning.plotting import pyplot, save_figure

KIND = ProbeKind("camera", "detector")
FARS = (1e-2, 1e-3)
SHARES = np.linspace(0, 0.3, 31)
SHOWN = np.linspace(0, 0.6, 61)
RESAMPLES = 400
MIRRORED = (12, 20)
"""Sizes at which the mirror image is embedded, too: it costs a second pass."""
GRAY = (0.299, 0.587, 0.114)


def candidates(rim: RIM, enlarged: Tensor, sizes: Tensor, mirrored: bool) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return embeddings of RIM and of the teacher, not normalized, and all candidates for a sign of quality, (B,)."""
    views = rim.views(enlarged, sizes)
    student_map, assistant_map = rim.hrn.last_maps(views)
    student, total = rim.hrn.embed(student_map, None), rim.hrn.embed(student_map, assistant_map)
    teacher = rim.hrn.gallery(enlarged)
    probe = torch.stack(recovered_probes(enlarged, sizes))
    gray = (probe * torch.tensor(GRAY)[:, None, None]).sum(1)
    around = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    contrast = gray.std((1, 2)).clamp(min=1e-3)
    signals = dict(zip(SIGNALS, probe_signals(views, total, sizes).T, strict=True))
    maps = torch.cat([position_probabilities(each) for each in views.priors.heatmaps.values()], dim=1)
    mirror = torch.full((len(sizes),), torch.nan)
    if mirrored:
        mirror = F.cosine_similarity(total, rim.embed_probe(enlarged.flip(-1), sizes))
    return (
        total,
        teacher,
        {
            **signals,
            "residual over contrast": signals["residual"] - contrast.log(),
            "peak of the heatmaps": maps.amax((2, 3)).mean(1).log(),
            "length of the student": student.norm(dim=1).log(),
            "length of the teacher": teacher.norm(dim=1).log(),
            "length of the assistant's map": assistant_map.flatten(1).norm(dim=1).log(),
            "cosine of student and sum": F.cosine_similarity(student, total),
            "cosine of sum and teacher": F.cosine_similarity(total, teacher),
            "cosine to the mirror image": mirror,
            "contrast": contrast.log(),
            "sharpness": F.conv2d(gray[:, None], around).square().mean((1, 2, 3)).sqrt().clamp(min=1e-6).log(),
        },
    )


@torch.no_grad()
def embedded(model: Model, options: argparse.Namespace) -> dict[str, Any]:
    """Embed all sharp images, and probes of every size of as many images as wanted."""
    parts = [FaceDataset(open_store(place), options.split, schemes=()) for place in options.people]
    faces = parts[0] if len(parts) == 1 else UnionDataset(parts)
    rim, mixture = flush_tiny_weights(model.rim.requires_grad_(False)), model.usage.mixture
    blocks = list(_named_images(rim, faces, "these people", 64))
    images, seeds = torch.cat([block[0] for block in blocks]), [seed for block in blocks for seed in block[2]]
    sharp = torch.cat([F.normalize(rim.hrn.gallery(block)) for block in images.split(64)])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: options.images]
    embeddings: dict[int, list[Tensor]] = {size: [] for size in options.sizes}
    signals: dict[int, list[Tensor]] = {size: [] for size in options.sizes}
    for chosen in order.split(64):
        for size in options.sizes:
            sizes = torch.full((len(chosen),), size)
            enlarged = seeded_probes(images[chosen], size, KIND, [seeds[place] for place in chosen])
            total, teacher, found = candidates(rim, enlarged, sizes, size in MIRRORED)
            weight = torch.ones(len(chosen)) if mixture is None else mixture.at(sizes)
            both = weight[:, None] * F.normalize(total) + (1 - weight)[:, None] * F.normalize(teacher)
            embeddings[size].append(F.normalize(both))
            signals[size].append(torch.stack(list(found.values()), dim=1))
    return {
        "identity": torch.cat([block[1] for block in blocks]),
        "sharp": sharp,
        "rows": order,
        "names": list(found),
        "probes": {size: torch.cat(each) for size, each in embeddings.items()},
        "signals": {size: torch.cat(each) for size, each in signals.items()},
    }


class Probes(NamedTuple):
    """Probes of all sizes, in one row.

    Attributes:
        person: Person of each probe, (N,).
        size: Its side in pixels, (N,).
        pairs: Number of its true pairs, (N,).
        missed: False accept rate -> number of those that lie below the threshold of the size, (N,).
        false: False accept rate -> number of its pairs of two people above that threshold, (N,).
        strangers: Number of its pairs of two people, (N,).
        signals: Name -> (N,).
    """

    person: NDArray[Any]
    size: NDArray[Any]
    pairs: NDArray[Any]
    missed: dict[float, NDArray[Any]]
    false: dict[float, NDArray[Any]]
    strangers: NDArray[Any]
    signals: dict[str, NDArray[Any]]

    def rate(self, far: float, chosen: NDArray[np.bool_]) -> float:
        """Return the share of true pairs of the chosen probes that is missed."""
        return float(self.missed[far][chosen].sum() / self.pairs[chosen].sum())


def counted(kept: dict[str, Any], model: Model, card: bool) -> Probes:
    """Count the pairs of each probe on both sides of the thresholds: those of the card, or of these people."""
    identity, rows = kept["identity"], kept["rows"]
    same = identity[:, None] == identity[rows]
    other = ~same
    same = same & (torch.arange(len(identity))[:, None] != rows)
    missed: dict[float, list[Tensor]] = {far: [] for far in FARS}
    false: dict[float, list[Tensor]] = {far: [] for far in FARS}
    for size, probes in kept["probes"].items():
        scores = kept["sharp"] @ probes.T
        compared = same | other
        thresholds = (
            [model.calibration.operating_point(size, far).threshold for far in FARS]
            if card
            else thresholds_at_fars(scores[compared], same[compared], FARS)
        )
        for far, threshold in zip(FARS, thresholds, strict=True):
            missed[far].append((same & (scores < threshold)).sum(0))
            false[far].append((other & (scores >= threshold)).sum(0))
    times = len(kept["probes"])
    signals = torch.cat(list(kept["signals"].values())).double().numpy()
    return Probes(
        identity[rows].repeat(times).numpy(),
        np.repeat(list(kept["probes"]), len(rows)),
        same.sum(0).repeat(times).numpy(),
        {far: torch.cat(each).numpy() for far, each in missed.items()},
        {far: torch.cat(each).numpy() for far, each in false.items()},
        other.sum(0).repeat(times).numpy(),
        dict(zip(kept["names"], signals.T, strict=True)),
    )


def fitted(probes: Probes, names: tuple[str, ...], chosen: NDArray[np.bool_]) -> QualityModel | None:
    """Fit the signals of these names on chosen probes."""
    signals = np.stack([probes.signals[name] for name in names], axis=1)
    parts = {}
    for size in np.unique(probes.size).tolist():
        own = chosen & (probes.size == size) & np.isfinite(signals).all(1)
        if own.any():
            parts[size] = MissedPairs(signals[own], probes.missed[FARS[0]][own], probes.pairs[own])
    return fit_quality(names, parts)


def predicted(probes: Probes, quality: QualityModel, rates: dict[int, float]) -> NDArray[np.float64]:
    """Return the log odds of a miss for each probe, (N,), around the rate of its size."""
    signals = np.stack([probes.signals[name] for name in quality.signals], axis=1)
    values = np.empty(len(probes.size))
    for size, rate in rates.items():
        own = probes.size == size
        values[own] = log_odds(np.array(rate)) + quality.rise(signals[own], size)
    return values


def crossed(probes: Probes, names: tuple[str, ...], far: float = FARS[0]) -> NDArray[np.float64]:
    """Return the log odds of a miss for each probe, by what was fitted on the other half of the people."""
    people = np.random.default_rng(0).permutation(np.unique(probes.person))
    first = np.isin(probes.person, people[: len(people) // 2])
    values = np.empty(len(probes.size))
    for half in (first, ~first):
        quality = fitted(probes, names, ~half)
        assert quality is not None, f"{names}: nothing to fit"
        rates = {size: probes.rate(far, ~half & (probes.size == size)) for size in np.unique(probes.size).tolist()}
        values[half] = predicted(probes, quality, rates)[half]
    return values


class Judge:
    """Judges scores of quality on chosen probes, with intervals over people."""

    def __init__(self, probes: Probes, chosen: NDArray[np.bool_], far: float) -> None:
        self.data = probes.missed[far][chosen], probes.pairs[chosen]
        self.chosen = chosen
        _, place = np.unique(probes.person[chosen], return_inverse=True)
        people = place.max() + 1
        draws = np.random.default_rng(0).integers(0, people, (RESAMPLES, people))
        self.weights = np.stack([np.bincount(row, minlength=people) for row in draws])[:, place]

    def curve(self, quality: NDArray[Any], shares: NDArray[Any]) -> NDArray[np.float64]:
        """Return the error versus discard."""
        return error_versus_discard(*self.data, quality[self.chosen], shares)

    def means(self, quality: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        """Return the mean error over 0 to 30 % discarded, and that of each resample."""
        quality = quality[self.chosen]
        resampled = error_versus_discard(*self.data, quality, SHARES, self.weights)
        return mean_error(error_versus_discard(*self.data, quality, SHARES), SHARES).item(), mean_error(
            resampled, SHARES
        )

    def best(self) -> NDArray[np.float64]:
        """Return the quality that nobody can beat: the share of its pairs that are not missed."""
        missed, pairs = self.data
        values = np.zeros(len(self.chosen))
        values[self.chosen] = 1 - missed / np.maximum(pairs, 1)
        return values


def interval(values: NDArray[np.float64]) -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"{low:.4f} … {high:.4f}"


def mixed_table(probes: Probes, scores: dict[str, NDArray[Any]]) -> None:
    """Print the mean error of each score over probes of all sizes, and how far it is below that of the size."""
    for far in FARS:
        print(f"\n| FAR {far:g}, all sizes | mean FRR, 0 to 30 % discarded | below size alone (95 %) |\n|---|---|---|")
        judge = Judge(probes, np.ones(len(probes.size), dtype=bool), far)
        by_size, resampled_size = judge.means(probes.size)
        for title, score in {**scores, "best possible": judge.best()}.items():
            mean, resampled = judge.means(score)
            print(
                f"| {title} | {mean:.4f} | {by_size - mean:+.4f} ({interval(resampled_size - resampled)}) |", flush=True
            )


def size_table(probes: Probes, score: NDArray[Any]) -> None:
    """Print what a score is worth among probes of one size."""
    print("\n| probe | FAR | FRR of all | 10 % | 20 % | 30 % discarded | mean, below that of all (95 %) |")
    print("|---|---|---|---|---|---|---|")
    for size in np.unique(probes.size).tolist():
        for far in FARS:
            judge = Judge(probes, probes.size == size, far)
            every, *left = judge.curve(score, np.array([0, 0.1, 0.2, 0.3]))
            mean, resampled = judge.means(score)
            _, of_all = judge.means(np.zeros(len(score)))
            cells = " | ".join(f"{rate:.3f}" for rate in (every, *left))
            print(
                f"| {size} px | {far:g} | {cells} | {every - mean:+.4f} ({interval(of_all - resampled)}) |", flush=True
            )


def reliability_table(probes: Probes, odds: dict[float, NDArray[Any]]) -> None:
    """Print stated and realized rates of probes, a tenth of them in each row, by the quality."""
    print("\n| quality | FAR 1e-2: stated, realized FRR | FAR 1e-3 | false accepts at 1e-2, 1e-3 |\n|---|---|---|---|")
    stated = {far: 1 / (1 + np.exp(-values)) for far, values in odds.items()}
    score = 1 - stated[FARS[0]]
    edges = np.quantile(score, np.linspace(0, 1, 11))
    tenth = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, 9)
    for number in range(10):
        own = tenth == number
        rates = [
            f"{np.average(stated[far][own], weights=probes.pairs[own]):.3f}, {probes.rate(far, own):.3f}"
            for far in FARS
        ]
        false = ", ".join(f"{probes.false[far][own].sum() / probes.strangers[own].sum():.5f}" for far in FARS)
        print(f"| {edges[number]:.2f} … {edges[number + 1]:.2f} | {' | '.join(rates)} | {false} |")


def plot(path: Path, probes: Probes, score: NDArray[Any], title: str) -> None:
    """Plot the error versus discard at both false accept rates."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, far in zip(axes, FARS, strict=True):
        judge = Judge(probes, np.ones(len(score), dtype=bool), far)
        for label, quality, style in (
            ("random", np.zeros(len(score)), ":"),
            ("size alone", probes.size, "--"),
            ("quality", score, "-"),
            ("best possible", judge.best(), "-."),
        ):
            axis.plot(SHOWN, judge.curve(quality, SHOWN), style, label=label)
        axis.set(
            xlabel="share of pairs discarded, worst probes first", ylabel="share of true pairs missed", ylim=(0, 1)
        )
        axis.set_title(f"FAR {far:g}", fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def write_folder(model: Path, folder: Path, quality: QualityModel) -> None:
    """Write a copy of a model folder whose card has this quality; its weights and thresholds stay as they are."""
    shutil.copytree(model, folder)
    card = json.loads((folder / CARD).read_text())
    card["calibration"]["quality"] = quality.to_plain()
    write_json(folder / CARD, card)
    write_text(folder / CARD_DIGEST, file_digest(folder / CARD) + "\n")
    assert read_model(folder).calibration.quality == quality


def scores_of(probes: Probes) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each candidate joined with the size, then the signals that the package uses."""
    yield "random", np.zeros(len(probes.size))
    yield "size alone", probes.size
    for name, values in probes.signals.items():
        if np.isfinite(values).all():
            yield f"size, {name}", -crossed(probes, (name,))
    for names in (SIGNALS[:2], (SIGNALS[0], SIGNALS[2]), SIGNALS):
        yield f"size, {', '.join(names)}", -crossed(probes, names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("people", type=Path, nargs="+", help="prepared sets of people")
    parser.add_argument("--split", default="val", help="part of each set (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 12, 16, 20, 28])
    parser.add_argument("--images", type=int, help="make probes of so many images, chosen by chance; all by default")
    parser.add_argument("--card", action="store_true", help="judge the quality of the card")
    parser.add_argument("--cache", type=Path, help="file for the embeddings")
    parser.add_argument("--plot", type=Path, help="picture to write: error versus discard")
    parser.add_argument("--write", type=Path, help="folder to write: a copy of the model with the quality")
    options = parser.parse_args()
    model = read_model(options.model)
    if options.cache and options.cache.is_file():
        kept = torch.load(options.cache, weights_only=True)
    else:
        kept = embedded(model, options)
        if options.cache:
            torch.save(kept, options.cache)
    probes = counted(kept, model, options.card)
    every = np.ones(len(probes.size), dtype=bool)
    paired = np.unique(probes.person[probes.pairs > 0])
    print(f"{len(paired)} people with true pairs, {len(probes.size)} probes of {len(kept['rows'])} images")
    if options.card:
        if model.calibration is None or model.calibration.quality is None:
            parser.error(f"{options.model} has no quality: export it again with --people")
        rates = {
            far: {size: model.calibration.operating_point(size, far).frr for size in np.unique(probes.size).tolist()}
            for far in FARS
        }
        odds = {far: predicted(probes, model.calibration.quality, rates[far]) for far in FARS}
        scores = {"random": np.zeros(len(every)), "size alone": probes.size, "quality of the card": -odds[FARS[0]]}
    else:
        odds = {far: crossed(probes, SIGNALS, far) for far in FARS}
        scores = dict(scores_of(probes))
    mixed_table(probes, scores)
    size_table(probes, -odds[FARS[0]])
    reliability_table(probes, odds)
    if options.plot:
        plot(
            options.plot,
            probes,
            -odds[FARS[0]],
            f"Probes of {', '.join(map(str, options.sizes))} px, {KIND.in_words()}",
        )
    if options.write:
        quality = fitted(probes, SIGNALS, every)
        write_folder(options.model, options.write, quality)
        print(f"\n{quality}\ndigest of the card: {hashlib.sha256((options.write / CARD).read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
