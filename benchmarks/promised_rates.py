"""Do the error rates of a model hold for people whom its thresholds were not chosen on?

    python benchmarks/promised_rates.py my_model prepared/lfw_128 --degradation camera --misalignment detector

At the thresholds of the card the rates of other people are counted, over all pairs of a sharp picture and a probe, for
single pictures and templates. A cell is kept if the rate lies within the 95 % interval that the card states. Below
stands what the likelihood ratios of single pictures cost these people (Cllr), beside what the card says. The embeddings
are kept in `--cache`, so that a table can be made again in a minute.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.stores.packed import open_store
from rim_lightning.evaluation.ratio_plots import RatedPairs, plot_ratios
from rim_lightning.functional.bootstrap import percentile_interval
from rim_lightning.functional.likelihood_ratio import BoundedRatio, cllr, cllr_min, ratio_costs, with_fewer_strangers
from rim_lightning.functional.seeded_probes import REDUCTIONS, ProbeKind
from rim_lightning.inference.calibrate import compared_templates, template_scores
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import Model, read_model
from rim_lightning.inference.people import People, embed_people
from rim_lightning.inference.recognizer import pool


def people_of(model: Model, options: argparse.Namespace) -> People:
    """Embed the people as the model is used, or read what was kept."""
    kind = ProbeKind(options.degradation, None if options.misalignment == "none" else options.misalignment)
    if options.cache and options.cache.is_file():
        kept = torch.load(options.cache, weights_only=True)
        people = People("kept", "", False, kind, **kept)
    else:
        faces = FaceDataset(open_store(options.people), options.split, schemes=())
        mixed = model.usage.mixture is not None
        people = embed_people(
            model.rim, faces, options.people.name, "", options.sizes, kind, looks=model.usage, teacher=mixed
        )
        if options.cache:
            names = ("identity", "sharp", "probes", "teacher")
            torch.save({name: getattr(people, name) for name in names}, options.cache)
    return people if model.usage.mixture is None else people.mixed(model.usage.mixture)


def rows_of(people: People, calibration: Calibration, size: int, counts: tuple[int, int]) -> list[tuple[bool, bool]]:
    """Print a row for each false accept rate; return whether both rates were kept."""
    templates = compared_templates(people, size, counts[1], counts[0])
    scores = template_scores(people, size, templates, None)
    kept = []
    for far in calibration.usable_fars():
        point = calibration.operating_point(size, far, *counts)
        rates = templates.pairs.rates(scores, point.threshold)
        low, high = point.far_interval
        frr_low, frr_high = point.frr_interval
        kept.append((low <= rates.far <= high, frr_low <= rates.frr <= frr_high))
        print(
            f"| {size} px | {counts[0]}, {counts[1]} | {far:g} | {low:.3g} … {high:.3g} | {rates.far:.3g} "
            f"({rates.far_interval[0]:.3g} … {rates.far_interval[1]:.3g}) | {'yes' if kept[-1][0] else 'no'} | "
            f"{point.frr:.3f} ({frr_low:.3f} … {frr_high:.3f}) | {rates.frr:.3f} | {'yes' if kept[-1][1] else 'no'} |",
            flush=True,
        )
    return kept


MIXED = ((8, 28), (16, 28), (8, 16), (8, 8, 8, 28), (8, 12, 16, 28), (8, 28, 28, 28))
"""Sizes of the probes of a template."""


def mixed_rows(people: People, calibration: Calibration, sizes: tuple[int, ...]) -> None:
    """Print the rates and the cost of templates of probes of several sizes, with as many gallery pictures."""
    count = len(sizes)
    templates = compared_templates(people, sizes[0], count, count)
    probes = []
    for number, members in enumerate(templates.in_probe):
        turned = [sizes[(place + number) % count] for place in range(count)]
        rows = members.nonzero().flatten().tolist()
        probes.append(pool(torch.stack([people.probes[s][row] for s, row in zip(turned, rows, strict=True)]), turned))
    gallery = F.normalize(templates.in_gallery @ people.sharp)
    scores = (gallery @ torch.stack(probes).T)[templates.compared]
    chosen = with_fewer_strangers(templates.pairs.same.numpy())
    same = templates.pairs.same.numpy()[chosen]
    ratios = [calibration.template_ratio(score, sizes, count).log10 for score in scores.numpy()[chosen].tolist()]
    cost = f"{cllr(np.array(ratios), same):.3f}, {cllr_min(scores.double().numpy()[chosen], same):.3f}"
    for far in calibration.usable_fars():
        point = calibration.template_point(sizes, far, count)
        rates = templates.pairs.rates(scores, point.threshold)
        print(
            f"| {', '.join(map(str, sizes))} px | {far:g} | {rates.far:.3g} ({rates.far_interval[0]:.3g} … "
            f"{rates.far_interval[1]:.3g}) | {point.frr:.3f} | {rates.frr:.3f} | {cost} |",
            flush=True,
        )


def ratio_row(people: People, calibration: Calibration, size: int) -> RatedPairs:
    """Print what the likelihood ratios of a size cost; return the pairs."""
    templates = compared_templates(people, size, 1, 1)
    scores, same = template_scores(people, size, templates, None).double().numpy(), templates.pairs.same.numpy()
    numbers = calibration.ratios[0, 0, calibration.sizes.index(size)].tolist()
    ratio = BoundedRatio(*numbers[:3])
    cost, resampled = templates.pairs.mean_cost(torch.from_numpy(ratio_costs(ratio.log10(scores), same)))
    low, high = percentile_interval(resampled)
    chosen = with_fewer_strangers(same)
    print(
        f"| {size} px | {numbers[3]:.3f}, {numbers[4]:.3f} | {cost:.3f} ({low:.3f} … {high:.3f}), "
        f"{cllr_min(scores[chosen], same[chosen]):.3f} |",
        flush=True,
    )
    return RatedPairs(scores, same, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("people", type=Path, help="prepared set of people whom nothing was chosen on")
    parser.add_argument("--split", default="test", help="part of the set (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 12, 16, 28])
    parser.add_argument("--degradation", choices=REDUCTIONS, default="camera")
    parser.add_argument("--misalignment", choices=["none", "detector"], default="detector")
    parser.add_argument("--cache", type=Path, help="file for the embeddings")
    parser.add_argument("--plot", type=Path, help="picture of the ratios to write: Tippett plot and cross-entropy")
    parser.add_argument("--mixed", action="store_true", help="templates of probes of 8, 12, 16 and 28 px instead")
    options = parser.parse_args()
    model = read_model(options.model)
    if model.calibration is None or model.calibration.intervals is None:
        parser.error(f"{options.model} has no intervals: export it again with --people")
    people = people_of(model, options)
    if options.mixed:
        print("| probes | FAR | realized (95 %) | FRR stated | realized | Cllr, Cllr_min |\n|---|---|---|---|---|---|")
        for sizes in MIXED:
            mixed_rows(people, model.calibration, sizes)
        return
    print(
        "| probe | pictures of probe, gallery | FAR | stated | realized (95 %) | kept | FRR stated | realized | kept |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    kept = []
    for size in options.sizes:
        for counts in ((1, 1), *((n, n) for n in model.calibration.counts[1:])):
            kept += rows_of(people, model.calibration, size, counts)
    far, frr = (sum(column) for column in zip(*kept, strict=True))
    print(f"\nWithin the stated interval: FAR in {far} of {len(kept)} cells, FRR in {frr} of {len(kept)}.")
    print("\n| probe | stated: Cllr, Cllr_min | realized: Cllr (95 %), Cllr_min |")
    print("|---|---|---|")
    curves = {f"{size} px": ratio_row(people, model.calibration, size) for size in options.sizes}
    if options.plot:
        probes = ProbeKind(options.degradation, None if options.misalignment == "none" else options.misalignment)
        title = (
            f"Ratios of the card on {len(people.identity.unique())} other people, probes made by {probes.in_words()}"
        )
        plot_ratios(options.plot, curves, title)


if __name__ == "__main__":
    main()
