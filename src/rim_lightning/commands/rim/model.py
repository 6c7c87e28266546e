"""`rim export` and `rim info`: make a model folder of a checkpoint, and show what its card says."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.options import EXIT_CODES, Place, json_option
from rim_lightning.commands.rim.output import echo_json, say
from rim_lightning.commands.settings_rules import REDUCTIONS
from rim_lightning.extras import require_extra
from rim_lightning.inference.verdict import DEFAULT_FAR

HALF_TOLERANCE = 1e-3
"""Largest change of a similarity that half precision may make."""

if TYPE_CHECKING:
    from rim_lightning.data.dataset import FaceDataset, UnionDataset
    from rim_lightning.data.stores.prepared import PreparedStore
    from rim_lightning.functional.seeded_probes import ProbeKind
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.networks.rim import RIM


@click.command(epilog=EXIT_CODES)
@click.argument("checkpoint", type=Place())
@click.argument("folder", type=Place())
@click.option(
    "--people",
    type=Place(),
    multiple=True,
    help="Prepared set of people (rim-prepare) whom nothing was trained on: thresholds are chosen on them. It may be "
    "given several times, for sets that share no person.",
)
@click.option("--split", default="val", show_default=True, help="Part of each set.")
@click.option(
    "--degradation",
    type=click.Choice(REDUCTIONS),
    default=REDUCTIONS[0],
    show_default=True,
    help="How the probes of --people are made for the thresholds.",
)
@click.option(
    "--misalignment",
    type=click.Choice(("none", "detector")),
    default="none",
    show_default=True,
    help="Move these probes as by the points of a detector.",
)
@click.option(
    "--half",
    is_flag=True,
    help="Write weights in half precision, in half the bytes; refused if that changes a similarity of --people by more "
    f"than {HALF_TOLERANCE:g}.",
)
@click.option("--terms", help='Terms of use of the weights, for the card: "research use: trained on …".')
@click.option("--notice", type=Place(), help="Text file with the license of the teacher's weights, copied as NOTICE.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX files too.")
def export(
    checkpoint: Path,
    folder: Path,
    people: tuple[Path, ...],
    split: str,
    degradation: str,
    misalignment: str,
    half: bool,
    terms: str | None,
    notice: Path | None,
    onnx: bool,
) -> None:
    """Make a model folder from a checkpoint of rim-train.

    FOLDER gets weights, card, thresholds and ONNX files. Without --people the model has no thresholds, and `rim verify`
    refuses it.

    \b
    Example:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
    """
    if onnx:
        require_extra("export", "rim export without --no-onnx")
    from rim_lightning.data.stores.packed import open_store
    from rim_lightning.files import check_folder, file_digest
    from rim_lightning.inference.model_folder import write_model
    from rim_lightning.networks.checkpoints import load_rim

    if half and not people:
        raise click.UsageError("--half is judged by the similarities of people: add --people.")
    kind = _probe_kind(degradation, misalignment, bool(people))
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder, or remove it.")
    notice_text = None if notice is None else notice.read_text(encoding="utf-8")
    stores = [open_store(place) for place in people]
    for store in stores:
        _check_people(store, split)
    check_folder(folder.parent, "folder")
    rim = load_rim(checkpoint)
    about: dict[str, Any] = {
        "checkpoint_sha256": file_digest(checkpoint),
        "training": _training_of(checkpoint),
        "metrics": _metrics_of(checkpoint),
        **({} if terms is None else {"terms": terms}),
    }
    calibration = None
    if stores:
        _check_sizes(stores, rim.hr_size)
        rim, calibration, change = _calibrated(rim, stores, split, kind, half)
        about |= {} if change is None else {"half_precision_change": change}
    write_model(folder, rim, calibration, about, onnx, notice_text)
    say(f"Model: {folder}")
    if half:
        say(f"Half precision changes a similarity by {about['half_precision_change']:.1g} at most.")
    if calibration is None:
        say("It has no thresholds: give --people to choose them.")
    else:
        usable = ", ".join(f"{far:g}" for far in calibration.usable_fars()) or "none: more people are needed"
        say(f"It has thresholds for a FAR of: {usable}")
        say(f"They were chosen on {calibration.chosen_on.in_words()}.{_demo_only(calibration)}")


def _probe_kind(degradation: str, misalignment: str, has_people: bool) -> ProbeKind:
    """Return how the probes of the thresholds are made. Refuse it without people."""
    from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind

    kind = ProbeKind(degradation, None if misalignment == "none" else misalignment)
    if kind != CLEAN and not has_people:
        raise click.UsageError("--degradation and --misalignment are those of the probes of --people: add --people.")
    return kind


@click.command(epilog=EXIT_CODES)
@click.argument("model", type=Place(), required=False)
@json_option
def info(model: Path | None, as_json: bool) -> None:
    """Show the card of MODEL, a model folder; without it that of the model that comes with the package.

    \b
    Example:
      rim info my_model
    """
    from rim_lightning.inference.card import read_card
    from rim_lightning.inference.default_model import shipped_model

    if model is None:
        model = shipped_model()
        if model is None:
            raise click.UsageError("Missing argument 'MODEL'.", click.get_current_context())
        if not as_json:
            say("the model that comes with the package")
    card = read_card(model)
    if as_json:
        echo_json(card)
        return
    try:
        lines = list(_card_lines(card))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{model} is not a model that this version can read: export it again from its checkpoint."
        ) from error
    for line in lines:
        say(line)


def _card_lines(card: dict[str, Any]) -> Iterator[str]:
    """Yield what a card says, line by line."""
    arguments = card["architecture"]["arguments"]
    yield f"RIM, {arguments['lr_size']} -> {arguments['hr_size']} px, fingerprint {card['fingerprint']}"
    yield f"files: {', '.join(card['files'])}"
    if card["calibration"] is None:
        yield "no thresholds: rim export --people chooses them"
    else:
        yield from _calibration_lines(card["calibration"], arguments["lr_size"])
    yield " ".join(filter(None, (str(card["license"]), card.get("terms"))))
    yield from (f"- {limit}" for limit in card["limits"])


def _check_people(store: PreparedStore, split: str) -> None:
    """Check that a part of a set has pairs of one person and of two people, before anything is computed."""
    from rim_lightning.data.stores.prepared import SPLITS
    from rim_lightning.types import NO_IDENTITY

    own = store.identity[store.select(split)]
    named = own[own != NO_IDENTITY].tolist()
    if len(set(named)) > 1 and len(set(named)) < len(named):
        return
    parts = [f"{part} has {len(store.select(part))} faces" for part in SPLITS if len(store.select(part))]
    if len(own) == 0:
        raise ValueError(f"{store.path} has no faces in its part {split} ({', '.join(parts)}): choose one by --split.")
    what = "no names of people" if not named else f"{len(named)} faces of {len(set(named))} people"
    raise ValueError(
        f"The part {split} of {store.path} has {what}: thresholds need at least two people, one of them in two or more "
        f"pictures. {', '.join(parts)}: choose another part by --split, or another set."
    )


def _check_sizes(stores: Sequence[PreparedStore], hr_size: int) -> None:
    """Raise ValueError if the faces of a set are not those that the model takes."""
    for store in stores:
        if store.hr_size != hr_size:
            raise ValueError(
                f"{store.path} has faces of {store.hr_size} px, the model takes {hr_size} px: prepare them with "
                f"hr_size={hr_size}."
            )


def _calibrated(
    rim: RIM, stores: Sequence[PreparedStore], split: str, kind: ProbeKind, half: bool
) -> tuple[RIM, Calibration, float | None]:
    """Choose thresholds on the people of some sets.

    Returns:
        The network, with `half` in half precision; its thresholds; and the largest change of a similarity, None without
        `half`.
    """
    from rim_lightning.data.dataset import FaceDataset, UnionDataset
    from rim_lightning.data.stores.prepared import MANIFEST
    from rim_lightning.files import file_digest, real_path
    from rim_lightning.inference.calibrate import calibrate

    people = [FaceDataset(store, split, schemes=()) for store in stores]
    title = f"{' and '.join(real_path(store.path).name for store in stores)}, {split}"
    digests = [file_digest(store.path / MANIFEST) for store in stores]
    faces = people[0] if len(people) == 1 else UnionDataset(people)
    digest = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    change = None
    if half:
        rim, change = _in_half_precision(rim, faces, title)
    return rim, calibrate(rim, faces, title, digest, kind=kind), change


def _in_half_precision(rim: RIM, faces: FaceDataset | UnionDataset, title: str) -> tuple[RIM, float]:
    """Return the network in half precision and the largest change of a similarity. Raise ValueError if it is large."""
    from rim_lightning.inference.calibrate import similarity_change
    from rim_lightning.inference.calibration import PROBE_SIZES
    from rim_lightning.inference.model_folder import half_precision

    rounded = half_precision(rim)
    change = similarity_change(rim, rounded, faces, title, (PROBE_SIZES[0], rim.lr_size))
    if not change <= HALF_TOLERANCE:
        raise ValueError(
            f"Half precision changes a similarity by {change:.2g}, more than {HALF_TOLERANCE:g}: leave --half out."
        )
    return rounded, change


def _demo_only(calibration: Calibration) -> str:
    """Return a remark if the model decides with --demo only."""
    return " verify, identify and page refuse it without --demo." if calibration.synthetic else ""


def _training_of(checkpoint: Path) -> dict[str, Any]:
    """Return what checkpoint and run folder say about the training: command, sets, faces seen, code."""
    from rim_lightning.networks.checkpoints import training_record
    from rim_lightning.runs.folder import RunFolder
    from rim_lightning.runs.origin import read_origin

    record = training_record(checkpoint)
    origin = read_origin(RunFolder(checkpoint.parent.parent))
    if origin is None:
        return record
    return {"command": shlex.join(["rim-train", *origin.overrides]), "sets": sorted(origin.stores)} | record


def _metrics_of(checkpoint: Path) -> dict[str, Any]:
    """Return the figures of the run that wrote a checkpoint, if they are figures of this checkpoint: its last one."""
    from rim_lightning.files import read_json
    from rim_lightning.runs.folder import RunFolder

    run = RunFolder(checkpoint.parent.parent)
    if checkpoint.name != run.last_checkpoint.name or not run.config.is_file() or not run.metrics.is_file():
        return {}
    return read_json(run.metrics, dict)


def _calibration_lines(plain: dict[str, Any], lr_size: int) -> Iterator[str]:
    """Yield the false reject rates of single pictures by size and FAR, then those of templates."""
    from rim_lightning.inference.calibration import Calibration

    calibration = Calibration.from_plain(plain)
    if calibration.synthetic:
        yield f"the faces of the thresholds are synthetic:{_demo_only(calibration)}"
    yield f"probes of the thresholds: {calibration.probes}"
    yield (
        f"thresholds chosen on {calibration.people} people of {calibration.set_name}, {calibration.genuine:,} genuine "
        f"and {calibration.impostors:,} impostor pairs ({calibration.chosen_on.faces}); share of true pairs refused:"
    )
    yield "  probe    " + "".join(f"FAR {far:<9g}" for far in calibration.fars)
    for size, rates in zip(calibration.sizes, calibration.frrs[0, 0], strict=True):
        cells = ["–" if math.isnan(rate) else f"{rate:.1%}" for rate in rates]
        yield f"  {size:>3} px   " + "".join(f"{cell:<13}" for cell in cells)
    fars = calibration.usable_fars()
    if len(calibration.counts) == 1 or not fars:
        return
    far = min(fars, key=lambda usable: abs(math.log(usable / DEFAULT_FAR)))  # nearest to that of `rim verify`
    yield f"  the same at {lr_size} px and FAR {far:g} where pictures are pooled into templates:"
    yield "  probes   " + "".join(f"gallery {count:<5}" for count in calibration.counts)
    for probes in calibration.counts:
        rates = [calibration.operating_point(lr_size, far, probes, gallery).frr for gallery in calibration.counts]
        yield f"  {probes:>3}      " + "".join(f"{f'{rate:.1%}':<13}" for rate in rates)
