"""`rim export`: make a model folder of a checkpoint."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rim_lightning.commands.rim.info import demo_only, usage_lines
from rim_lightning.commands.rim.options import EXIT_CODES, Place
from rim_lightning.commands.rim.output import say
from rim_lightning.commands.settings_rules import REDUCTIONS
from rim_lightning.extras import require_extra

HALF_TOLERANCE = 1e-3
"""Largest change of a similarity that half precision may make."""

HALVED = {"all": ("fhn.", "hrn."), "stacks": ("fhn.coarse.", "fhn.integrator.")}
"""What is tried in half precision, in this order: name for the card -> how the names of its weights begin.

The paths of the priors are left out of the second: for few faces, a small change of theirs moves a landmark far.
"""

KEPT = ("checkpoint_sha256", "training", "metrics", "terms", "half_precision", "half_precision_change")
"""Entries of a card that stay when thresholds are chosen anew."""

OF_THE_MACHINE = ("paths.", "hydra.", "threads=", "workers=", "resume=")
"""How overrides begin that say where a run was trained, not how."""

if TYPE_CHECKING:
    from rim_lightning.data.dataset import FaceDataset, UnionDataset
    from rim_lightning.data.stores.prepared import PreparedStore
    from rim_lightning.functional.seeded_probes import ProbeKind
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.networks.rim import RIM
    from rim_lightning.networks.usage import Usage


class Wishes(NamedTuple):
    """What the options of `rim export` say about the fit to people.

    Attributes:
        degradation: How the probes of the people are made.
        misalignment: How they are moved.
        half: True for weights in half precision.
        flip: True to average with mirrored faces.
        shift: Distance of moved faces as a share of the side.
        mixture: True to mix with the teacher by size.
        reduced_gallery: True for a second look at the gallery.
    """

    degradation: str
    misalignment: str
    half: bool
    flip: bool
    shift: float
    mixture: bool
    reduced_gallery: bool

    def probe_kind(self) -> ProbeKind:
        """Return how the probes of the people are made."""
        from rim_lightning.functional.seeded_probes import ProbeKind

        return ProbeKind(self.degradation, None if self.misalignment == "none" else self.misalignment)

    def check(self, people: bool) -> None:
        """Raise UsageError if something is to be chosen on people and there are none."""
        if people:
            return
        if self.degradation != REDUCTIONS[0] or self.misalignment != "none":
            raise click.UsageError(
                "--degradation and --misalignment are those of the probes of --people: add --people."
            )
        if self.half:
            raise click.UsageError("--half is judged by the similarities of people: add --people.")
        if self.mixture or self.reduced_gallery:
            option = "--mixture" if self.mixture else "--reduced-gallery"
            raise click.UsageError(f"The weights of {option} are chosen on people: add --people.")


class Fitted(NamedTuple):
    """A network with what was chosen on people.

    Attributes:
        rim: The network, in the precision that was chosen.
        usage: How it is used.
        calibration: Thresholds. None without people.
        pair_calibration: Thresholds with a second look at the gallery. None if there is none.
        halved: Name from `HALVED` of what is in half precision. None in full precision.
        half_precision_change: Largest change of a similarity by it. None in full precision.
    """

    rim: RIM
    usage: Usage
    calibration: Calibration | None = None
    pair_calibration: Calibration | None = None
    halved: str | None = None
    half_precision_change: float | None = None

    def lines(self) -> Iterator[str]:
        """Yield what a user should know."""
        if self.half_precision_change is not None:
            yield f"Half precision changes a similarity by {self.half_precision_change:.1g} at most."
            if self.halved != "all":
                yield "Only the coarse network and the integrator are in half precision: the others would change more."
        yield from usage_lines(self.usage.to_plain())


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
    help="Write weights in half precision, or those of the coarse network and the integrator alone: as far as no "
    f"similarity of --people changes by more than {HALF_TOLERANCE:g}.",
)
@click.option("--flip", is_flag=True, help="Average every embedding with that of the mirrored face.")
@click.option(
    "--shift",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 0.25),
    help="Average every embedding with those of four moved faces: distance as a share of the side, such as 0.02.",
)
@click.option(
    "--mixture",
    is_flag=True,
    help="Mix the embedding of a probe with that of the teacher, by weights for each size that are chosen on --people.",
)
@click.option(
    "--reduced-gallery",
    is_flag=True,
    help="Let verify also compare with the gallery face reduced to the size of the probe, by such weights.",
)
@click.option("--terms", help='Terms of use of the weights, for the card: "research use: trained on …".')
@click.option("--notice", type=Place(), help="Text file with the license of the teacher's weights, copied as NOTICE.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX files too.")
def export(
    checkpoint: Path,
    folder: Path,
    people: tuple[Path, ...],
    split: str,
    terms: str | None,
    notice: Path | None,
    onnx: bool,
    **choices: Any,
) -> None:
    """Make a model folder from a checkpoint of rim-train.

    FOLDER gets weights, card, thresholds and ONNX files. Without --people the model has no thresholds, and `rim verify`
    refuses it. In place of CHECKPOINT a model folder may be given, or rim_128 for the model of the package: its weights
    stay as they are, and so do its thresholds unless --people chooses them anew.

    \b
    Examples:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
      rim export my_model my_model_for_cameras --people prepared/celeba_128 --degradation camera --misalignment detector
      rim export rim_128 my_model
    """
    if onnx:
        require_extra("export", "rim export without --no-onnx")
    from rim_lightning.data.stores.packed import open_store
    from rim_lightning.files import check_folder, read_utf8
    from rim_lightning.inference.default_model import model_or_shipped
    from rim_lightning.inference.model_folder import write_model

    wishes = Wishes(**choices)
    wishes.check(bool(people))
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder, or remove it.")
    notice_text = None if notice is None else read_utf8(notice)
    stores = [open_store(place) for place in people]
    _check_people(stores, split, wishes)
    check_folder(folder.parent, "folder")
    checkpoint = model_or_shipped(checkpoint)
    source = _of_folder(checkpoint, wishes) if checkpoint.is_dir() else _of_checkpoint(checkpoint, wishes)
    rim, about = source.rim, source.about | ({} if terms is None else {"terms": terms})
    notice_text = source.notice if notice_text is None else notice_text
    _check_network(rim, stores, onnx)
    fitted = _fitted(source, stores, split, wishes)
    if fitted.half_precision_change is not None:
        about["half_precision_change"] = fitted.half_precision_change
        about["half_precision"] = fitted.halved
    calibration = fitted.calibration
    write_model(folder, fitted.rim, calibration, about, onnx, notice_text, fitted.usage, fitted.pair_calibration)
    say(f"Model: {folder}")
    for line in fitted.lines():
        say(line)
    if calibration is None:
        say("It has no thresholds: give --people to choose them.")
    else:
        usable = ", ".join(f"{far:g}" for far in calibration.usable_fars()) or "none: more people are needed"
        say(f"It has thresholds for a FAR of: {usable}")
        say(f"They were chosen on {calibration.chosen_on.in_words()}.{demo_only(calibration)}")


class ModelSource(NamedTuple):
    """What a model folder is made of.

    Attributes:
        rim: The network.
        usage: How it is used, before a mixture is chosen.
        about: Entries of the card that do not depend on people.
        notice: License of the teacher's weights, or None.
        calibration: Thresholds of a model folder.
        pair_calibration: Its thresholds with a second look at the gallery.
    """

    rim: RIM
    usage: Usage
    about: dict[str, Any]
    notice: str | None = None
    calibration: Calibration | None = None
    pair_calibration: Calibration | None = None


def _of_checkpoint(checkpoint: Path, wishes: Wishes) -> ModelSource:
    """Read a checkpoint of rim-train."""
    from rim_lightning.files import file_digest
    from rim_lightning.networks.checkpoints import load_rim
    from rim_lightning.networks.tiny_weights import flush_tiny_weights
    from rim_lightning.networks.usage import Usage

    about = {
        "checkpoint_sha256": file_digest(checkpoint),
        "training": _training_of(checkpoint),
        "metrics": _metrics_of(checkpoint),
    }
    return ModelSource(flush_tiny_weights(load_rim(checkpoint)), Usage(wishes.flip, wishes.shift), about)


def _of_folder(folder: Path, wishes: Wishes) -> ModelSource:
    """Read a model folder, whose weights and looks stay as they are."""
    from rim_lightning.files import read_utf8
    from rim_lightning.inference.card import CARD
    from rim_lightning.inference.card_page import NOTICE
    from rim_lightning.inference.model_folder import read_model

    if not (folder / CARD).is_file():
        raise ValueError(
            f"{folder} is a folder: give a checkpoint, such as checkpoints/last.ckpt of a run, or a model folder."
        )
    if wishes.half or wishes.flip or wishes.shift:
        raise click.UsageError("--half, --flip and --shift need a checkpoint: a model folder keeps weights and looks.")
    model = read_model(folder)
    about = {name: model.card[name] for name in KEPT if name in model.card}
    notice = folder / NOTICE
    text = read_utf8(notice) if notice.is_file() else None
    return ModelSource(model.rim, model.usage, about, text, model.calibration, model.pair_calibration)


def _check_people(stores: Sequence[PreparedStore], split: str, wishes: Wishes) -> None:
    """Check that the people suffice for what is chosen on them, before anything is computed."""
    for store in stores:
        _check_set(store, split)
    if wishes.mixture or wishes.reduced_gallery:
        _check_strangers(stores, split)


def _check_set(store: PreparedStore, split: str) -> None:
    """Check that a part of a set has pairs of one person and of two people, before anything is computed."""
    from rim_lightning.data.stores.prepared import SPLITS

    named = _named(store, split)
    if len(set(named)) > 1 and len(set(named)) < len(named):
        return
    parts = [f"{part} has {len(store.select(part))} faces" for part in SPLITS if len(store.select(part))]
    if len(store.select(split)) == 0:
        raise ValueError(f"{store.path} has no faces in its part {split} ({', '.join(parts)}): choose one by --split.")
    what = "no names of people" if not named else f"{len(named)} faces of {len(set(named))} people"
    raise ValueError(
        f"The part {split} of {store.path} has {what}: thresholds need at least two people, one of them in two or more "
        f"pictures. {', '.join(parts)}: choose another part by --split, or another set."
    )


def _check_strangers(stores: Sequence[PreparedStore], split: str) -> None:
    """Raise ValueError if too few pairs of two people decide about weights."""
    from rim_lightning.inference.choose_usage import check_pairs

    people = [(number, person) for number, store in enumerate(stores) for person in _named(store, split)]
    images = Counter(people).values()
    check_pairs(" and ".join(str(store.path) for store in stores), sum(images) ** 2 - sum(n**2 for n in images))


def _named(store: PreparedStore, split: str) -> list[int]:
    """Return the person of each face of a part of a set that has a name."""
    from rim_lightning.types import NO_IDENTITY

    own = store.identity[store.select(split)]
    named: list[int] = own[own != NO_IDENTITY].tolist()
    return named


def _check_network(rim: RIM, stores: Sequence[PreparedStore], onnx: bool) -> None:
    """Raise ValueError if the faces of a set are not those that the model takes, or no ONNX file can hold the model."""
    from rim_lightning.inference.onnx_export import check_writable_as_onnx

    for store in stores:
        if store.hr_size != rim.hr_size:
            raise ValueError(
                f"{store.path} has faces of {store.hr_size} px, the model takes {rim.hr_size} px: prepare them with "
                f"hr_size={rim.hr_size}."
            )
    if onnx:
        check_writable_as_onnx(rim)


def _fitted(source: ModelSource, stores: Sequence[PreparedStore], split: str, wishes: Wishes) -> Fitted:
    """Fit what is chosen on the people of some sets: precision, weights by size and thresholds."""
    from rim_lightning.data.dataset import FaceDataset, UnionDataset
    from rim_lightning.data.stores.prepared import MANIFEST
    from rim_lightning.files import file_digest, real_path
    from rim_lightning.inference.calibrate import thresholds_of
    from rim_lightning.inference.choose_usage import choose_mixture, choose_reduced_gallery
    from rim_lightning.inference.people import embed_people, with_reduced_gallery

    rim, usage = source.rim, source.usage
    if not stores:
        return Fitted(rim, usage, source.calibration, source.pair_calibration)
    parts = [FaceDataset(store, split, schemes=()) for store in stores]
    faces = parts[0] if len(parts) == 1 else UnionDataset(parts)
    title = f"{' and '.join(real_path(store.path).name for store in stores)}, {split}"
    digests = [file_digest(store.path / MANIFEST) for store in stores]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    halved, change = None, None
    if wishes.half:
        rim, halved, change = _in_half_precision(rim, faces, title)
    mixed = wishes.mixture or usage.mixture is not None
    people = embed_people(rim, faces, title, digest, kind=wishes.probe_kind(), looks=usage, teacher=mixed)
    if mixed:
        mixture = usage.mixture if usage.mixture and not wishes.mixture else choose_mixture(people)
        usage, people = replace(usage, mixture=mixture), people.mixed(mixture)
    plain = thresholds_of(people)
    if not wishes.reduced_gallery and usage.reduced_gallery is None:
        return Fitted(rim, usage, plain, None, halved, change)
    people = with_reduced_gallery(people, rim, faces, usage)
    if wishes.reduced_gallery:
        usage = replace(usage, reduced_gallery=choose_reduced_gallery(people))
    return Fitted(rim, usage, plain, thresholds_of(people, reduced_gallery=usage.reduced_gallery), halved, change)


def _in_half_precision(rim: RIM, faces: FaceDataset | UnionDataset, title: str) -> tuple[RIM, str, float]:
    """Return the network in half precision, as far as similarities allow.

    Returns:
        The network, the name from `HALVED` of what is in half precision, and the largest change of a similarity.
    """
    from rim_lightning.inference.calibration import PROBE_SIZES
    from rim_lightning.inference.model_folder import half_precision
    from rim_lightning.inference.people import embed_people, similarity_change

    sizes = (PROBE_SIZES[0], rim.lr_size)
    people = embed_people(rim, faces, title, "", sizes)
    changes = []
    for name, parts in HALVED.items():
        rounded = half_precision(rim, parts)
        changes.append(similarity_change(people, embed_people(rounded, faces, title, "", sizes)))
        if changes[-1] <= HALF_TOLERANCE:
            return rounded, name, changes[-1]
    whole, stacks = changes
    raise ValueError(
        f"Half precision changes a similarity by {whole:.2g}, and by {stacks:.2g} in the coarse network and the "
        f"integrator alone, more than {HALF_TOLERANCE:g}: leave --half out."
    )


def _training_of(checkpoint: Path) -> dict[str, Any]:
    """Return what checkpoint and run folder say about the training: command, sets, faces seen, code.

    "started_from" has the same of the runs whose networks it started from, as far as they are still there.
    """
    from rim_lightning.networks.checkpoints import training_record
    from rim_lightning.runs.folder import RunFolder
    from rim_lightning.runs.origin import read_origin

    record = training_record(checkpoint)
    origin = read_origin(RunFolder(checkpoint.parent.parent))
    if origin is None:
        return record
    shown = [_without_folders(each) for each in origin.overrides if not each.lstrip("+").startswith(OF_THE_MACHINE)]
    told = {"command": shlex.join(["rim-train", *shown]), "sets": sorted(origin.stores)} | record
    earlier = [path for path in map(_start_of, origin.overrides) if path is not None]
    started_from = [_training_of(path) for path in earlier if path.is_file()]
    return told | ({"started_from": started_from} if started_from else {})


def _without_folders(override: str) -> str:
    """Return an override without folders of the machine.

    Of a checkpoint to start from, the run, the folder and the file are told.
    """
    from rim_lightning.files import without_folders

    path = _start_of(override)
    if path is None:
        return str(without_folders(override))
    return f"{override.partition('=')[0]}={'/'.join(path.parts[-3:])}"


def _start_of(override: str) -> Path | None:
    """Return the path in an override that names networks to start from; None for any other override."""
    from rim_lightning.runs.origin import START_SETTINGS

    name, _, value = override.partition("=")
    return Path(value) if name.lstrip("+") in START_SETTINGS else None


def _metrics_of(checkpoint: Path) -> dict[str, Any]:
    """Return the figures of the run that wrote a checkpoint, if they are figures of this checkpoint: its last one."""
    from rim_lightning.runs.folder import RunFolder
    from rim_lightning.runs.records import read_figures

    run = RunFolder(checkpoint.parent.parent)
    if checkpoint.name != run.last_checkpoint.name or not run.config.is_file() or not run.metrics.is_file():
        return {}
    return read_figures(run.metrics)
