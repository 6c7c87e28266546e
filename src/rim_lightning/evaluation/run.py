"""Evaluate a trained network: figures, metrics.json and a report. Shared by rim-train and rim-eval."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.files import require_file, require_folder
from rim_lightning.data.readers.folder import read_folder
from rim_lightning.data.readers.lfw import read_lfw
from rim_lightning.data.stores.packed import open_store
from rim_lightning.data.stores.prepared import PreparedStore, read_manifest
from rim_lightning.evaluation.constants import constant_figures, constant_priors, training_faces
from rim_lightning.evaluation.hallucination import evaluate_hallucination
from rim_lightning.evaluation.plan import EvaluationPlan, FacesPlan
from rim_lightning.evaluation.protocols import FaceSet, PairSet, face_set, listed_pairs, packed_pairs, sampled_pairs
from rim_lightning.evaluation.report import Report
from rim_lightning.evaluation.verification import evaluate_verification
from rim_lightning.files import real_path
from rim_lightning.functional.seeded_probes import CLEAN
from rim_lightning.networks.rim import RIM
from rim_lightning.types import NO_IDENTITY


def evaluate(
    rim: RIM,
    plan: EvaluationPlan,
    stores: Mapping[str, str],
    *,
    prepared_dir: Path,
    folder: Path,
    title: str,
    workers: int,
    curves: Path,
) -> dict[str, float]:
    """Evaluate a trained network. Writes `metrics.json` and `report.md` again after every set.

    Args:
        rim: The network, in eval mode.
        plan: What is measured.
        stores: Name -> prepared store, for `plan.sr.sets` and `plan.identities`.
        prepared_dir: Folder of the prepared sets, where the set of `plan.lfw` is prepared if it is missing.
        folder: Where metrics and report are written.
        title: Title of the report.
        workers: Processes that prepare images.
        curves: Folder of the logged values of the training run, for the report.

    Returns:
        Figures by name: "sr/<set>/…" of `evaluate_hallucination` and "verification/<set>/<probe>/<system>/…" of
        `evaluate_verification`.

    Raises:
        FileNotFoundError: If data are missing.
        ValueError: If data are laid out differently or a set is too small.
    """
    check_evaluation(plan, stores, rim.hr_size)
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(folder, title, _protocol(plan, rim), curves)
    sr = plan.sr
    for faces, sentence in _face_sets(sr, stores, rim.hr_size, folder, workers):
        report.protocol.append(sentence)
        figures, panel = evaluate_hallucination(rim, faces, sr.protocol, sr.crop, plan.batch_size, plan.panel_faces)
        constants = constant_priors([training_faces(faces.dataset)[0]], list(rim.fhn.generator.heatmap_heads))
        figures |= constant_figures(constants, [faces.dataset])
        report.panels[faces.title] = panel
        report.add(f"sr/{faces.title}", figures)
    for pairs, sentence in _pair_sets(plan, stores, rim.hr_size, prepared_dir, workers):
        report.protocol.append(sentence)
        figures = evaluate_verification(rim, pairs, plan.probe_sizes, plan.usage(), plan.batch_size, plan.probe_kind)
        report.add(f"verification/{pairs.title}", figures)
    report.write()
    return report.figures


def refuse_nothing(plan: EvaluationPlan) -> None:
    """Refuse a plan that measures nothing: a command with it would look as if it had succeeded.

    Raises:
        ValueError: If the plan names no set and no folder.
    """
    if not (plan.sr.sets or plan.sr.root or plan.identities or plan.lfw.root or plan.packs):
        raise ValueError(
            "Nothing is to be measured: name sets in evaluation.sr.sets or evaluation.identities, a folder in "
            "evaluation.sr.root or evaluation.lfw.root, or a file in evaluation.packs; rim-train evaluate=false trains "
            "without an evaluation."
        )


def check_evaluation(plan: EvaluationPlan, stores: Mapping[str, str], hr_size: int) -> None:
    """Refuse an evaluation that cannot be carried out: before hours of training, not after them.

    Args:
        plan: What is to be measured.
        stores: Name -> prepared store.
        hr_size: Side of the sharp face of the model in pixels.

    Raises:
        FileNotFoundError: If a set, a folder or a file is missing.
        ValueError: If a set is unknown, of another size, or has no faces or too few people.
    """
    for name, split in [*((name, plan.sr.split) for name in plan.sr.sets), *plan.identities.items()]:
        store = _open(stores, name)
        if store.hr_size != hr_size:
            raise ValueError(
                f"{store.path} holds faces of {store.hr_size} px, the model takes {hr_size}: prepare them with "
                f"hr_size={hr_size}."
            )
        positions = store.select(split)
        if len(positions) == 0:
            raise ValueError(f"{name} has no faces in its {split} split; choose another split, or leave it out.")
        people = len(set(store.identity[positions].tolist()) - {NO_IDENTITY})
        if name in plan.identities and people < 4:
            raise ValueError(
                f"{name} has {people} people in its {split} split; verification in folds needs 4 or more: leave "
                f"{name} out of evaluation.identities, or give the split more people."
            )
    largest = max(plan.probe_sizes)
    if largest > hr_size:
        raise ValueError(
            f"evaluation.probe_sizes has {largest} px, larger than the face of {hr_size} px: leave it out."
        )
    check_evaluation_files(plan)


def check_evaluation_files(plan: EvaluationPlan) -> None:
    """Refuse an evaluation whose folders or lists are missing; prepared sets may still be made.

    Args:
        plan: What is to be measured.

    Raises:
        FileNotFoundError: If a folder or a file is missing.
    """
    if plan.sr.root is not None:
        require_folder(Path(plan.sr.root), "face images")
    for name, pack in plan.packs.items():
        require_file(Path(pack["file"]), f"the pack of evaluation.packs.{name}")
    if plan.lfw.root is not None:
        require_folder(Path(plan.lfw.root) / plan.lfw.images, "a folder of images per person")
        require_file(Path(plan.lfw.pairs), "the list of pairs")
        if plan.lfw.landmarks is not None:
            require_file(Path(plan.lfw.landmarks), "a table of landmarks")


def _face_sets(
    sr: FacesPlan, stores: Mapping[str, str], hr_size: int, folder: Path, workers: int
) -> Iterator[tuple[FaceSet, str]]:
    """Open the sets of faces one after the other, each with the sentence that says what it is."""
    for name in sr.sets:
        faces = face_set(stores[name], name, sr.split)
        sentence = f"`{name}`: {len(faces.dataset)} faces of {sr.split}, {_alignment(stores[name])}."
        yield faces, f"{sentence} {_origin_of_constants(faces)}"
    if sr.root is not None:
        # In the output folder: in `prepared_dir` another folder of images would be refused as a changed one.
        output = folder / "prepared_custom"
        records = read_folder(sr.root, first_pixel=sr.first_pixel)
        prepare(records, output, name="custom", hr_size=hr_size, margin=0.0, alignment=sr.alignment, workers=workers)
        faces = face_set(str(output), "custom")
        sentence = f"`custom`: {len(faces.dataset)} faces of test, {_alignment(output)}."
        yield faces, f"{sentence} {_origin_of_constants(faces)}"


def _origin_of_constants(faces: FaceSet) -> str:
    origin = "its training faces" if training_faces(faces.dataset)[1] else "these faces themselves, as it has no others"
    return f"The constant landmarks and classes are the mean shape and the most frequent classes of {origin}."


def _pair_sets(
    plan: EvaluationPlan, stores: Mapping[str, str], hr_size: int, prepared_dir: Path, workers: int
) -> Iterator[tuple[PairSet, str]]:
    """Open the sets of pairs one after the other, each with the sentence that says what it is."""
    for name, split in plan.identities.items():
        pairs = sampled_pairs(stores[name], f"{name}_{split}", split, plan.verification_pairs)
        description = f"pairs sampled by seed 0 from the {split} people of {name}"
        yield pairs, f"`{pairs.title}`: {description}, {_alignment(stores[name])}."
    for name, pack in plan.packs.items():
        pairs = packed_pairs(title=name, prepared=str(prepared_dir), hr_size=hr_size, workers=workers, **pack)
        description = f"{len(pairs.same)} pairs of {Path(pack['file']).name} in {len(pairs.fold.unique())} folds"
        yield pairs, f"`{name}`: {description}, faces that its publishers aligned to the five-point template."
    lfw = plan.lfw
    if lfw.root is not None:
        output = prepared_dir / f"{real_path(lfw.root).name}_{hr_size}"
        records = read_lfw(lfw.root, lfw.images, lfw.landmarks)
        prepare(records, output, name="lfw", hr_size=hr_size, workers=workers)
        pairs = listed_pairs(str(output), lfw.pairs, "lfw")
        description = f"{len(pairs.same)} pairs of {Path(lfw.pairs).name} in {len(pairs.fold.unique())} folds"
        caveat = "What the teacher was trained on is unknown; LFW people may be among it."
        yield pairs, f"`lfw`: {description}, {_alignment(output)}. {caveat}"


def _protocol(plan: EvaluationPlan, rim: RIM) -> list[str]:
    kind = plan.probe_kind
    made = f" Those of verification are made by {kind.in_words()}; a face's position is its seed."
    others = [*(["mirrored"] if plan.flip else []), *([f"moved (by {plan.shift:.1%})"] if plan.shift else [])]
    views = f"averaged with the {' and '.join(others)} image" if others else "of the image alone, no flips"
    return [
        f"Probes: the aligned {rim.hr_size} px face reduced by antialiased bicubic to the stated size, 8-bit, and "
        f"enlarged back.{'' if kind == CLEAN else made}",
        f"Image quality at {rim.lr_size} → {rim.hr_size} px, protocol {plan.sr.protocol}, {plan.sr.crop} px border "
        "left out; intervals are bootstraps over faces.",
        "Verification: cosine; the gallery is the sharp first image of a pair, the probe the second; threshold of the "
        f"other folds; embeddings {views}; intervals are bootstraps over pairs; a TAR is printed only where at least "
        "10 impostor pairs lie beyond it.",
    ]


def _alignment(store: str | Path) -> str:
    """Return a phrase that says how the images of a prepared set were aligned."""
    manifest = read_manifest(Path(store))
    if manifest.get("alignment") == "none":
        return "not aligned: the center square of the whole image"
    landmarks = str(manifest.get("landmarks"))
    if landmarks == "synthetic":
        return (
            "aligned to the five-point template by the points they were drawn from. These faces are synthetic: the "
            "figures say nothing about photographs"
        )
    detector = {"yunet": "YuNet", "mtcnn": "MTCNN"}[manifest.get("detector", "mtcnn")]  # the only one of version 0.1
    sources = {"detect": f"points found by {detector}"}
    source = sources.get(landmarks, f"the points that came with the set, {detector}'s where there are none")
    return f"aligned to the five-point template by {source}"


def _open(stores: Mapping[str, str], name: str) -> PreparedStore:
    if name not in stores:
        raise ValueError(
            f"The evaluation names the set {name}, but the stores are {', '.join(stores)}: change evaluation.sr.sets "
            f"or evaluation.identities, or give rim-eval +stores.{name}=<prepared folder>."
        )
    return open_store(stores[name])
