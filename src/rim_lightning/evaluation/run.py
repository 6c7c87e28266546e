"""From an evaluation configuration to figures, metrics.json and a report; shared by rim-train and rim-eval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.pairs import index_pairs
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.files import require_file, require_folder
from rim_lightning.data.readers.folder import read_folder
from rim_lightning.data.readers.lfw import read_lfw, read_pairs
from rim_lightning.data.stores.packed import open_store
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.evaluation.hallucination import Panel, evaluate_hallucination
from rim_lightning.evaluation.report import write_metrics, write_report
from rim_lightning.evaluation.verification import evaluate_verification
from rim_lightning.functional.pairs import sample_pairs
from rim_lightning.networks.rim import RIM
from rim_lightning.types import NO_IDENTITY


def measure(
    rim: RIM,
    folder: Path,
    title: str,
    stores: Mapping[str, str],
    prepared_dir: Path,
    probe_sizes: list[int],
    flip: bool,
    batch_size: int,
    panel_faces: int,
    workers: int,
    sr: Mapping[str, Any],
    identities: Mapping[str, str],
    verification_pairs: int,
    lfw: Mapping[str, Any],
    curves: Path,
) -> dict[str, float]:
    """Measure a trained network and write `metrics.json` and `report.md` into `folder`, after every set anew.

    Args:
        rim: in eval mode. title: of the report. curves: folder of the training run's CSV logs.
        stores: name -> prepared store, for `sr.sets` and `identities`.
        sr: root (a folder of images, or None) with alignment and first_pixel (see `read_points`); sets (names in
            `stores`) with split; protocol and crop for both.
        identities: name in `stores` -> split whose people are paired by seed 0, `verification_pairs` of each kind.
        lfw: root (None: left out), images, pairs, landmarks.

    Returns:
        flat figures: "sr/<set>/…" as `evaluate_hallucination`, "verification/<set>/<probe>/<system>/…" as
        `evaluate_verification`.

    Raises:
        FileNotFoundError, ValueError: data that are missing or laid out differently, in one sentence.
    """
    check_evaluation(stores, rim.hr_size, sr, identities, lfw)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, float] = {}
    panels: dict[str, Panel] = {}
    protocol = [
        f"Probes: the aligned {rim.hr_size} px face reduced by antialiased bicubic to the stated size, 8-bit, and "
        "enlarged back.",
        f"Image quality at {rim.lr_size} → {rim.hr_size} px, protocol {sr['protocol']}, {sr['crop']} px border left "
        "out; intervals are bootstraps over faces.",
        "Verification: cosine; the gallery is the sharp first image of a pair, the probe the second; threshold of the "
        f"other folds; embeddings {'averaged with the mirrored image' if flip else 'of the image alone, no flips'}; "
        "intervals are bootstraps over pairs; a TAR is printed only where at least 10 impostor pairs lie beyond it.",
    ]

    def keep() -> None:
        write_metrics(folder / "metrics.json", figures)
        write_report(folder, title, protocol, figures, panels, curves)

    def hallucination(name: str, store: PreparedStore, split: str) -> None:
        faces = FaceDataset(store, split)
        protocol.append(f"`{name}`: {len(faces)} faces of {split}, {_alignment(store)}.")
        found, panels[name] = evaluate_hallucination(
            rim, faces, sr["protocol"], sr["crop"], batch_size, panel_faces, f"faces of {name}"
        )
        figures.update({f"sr/{name}/{key}": value for key, value in found.items()})
        keep()

    def verification(name: str, faces: FaceDataset, *pairs: Tensor) -> None:
        found = evaluate_verification(rim, faces, *pairs, probe_sizes, flip, batch_size, f"pairs of {name}")
        figures.update({f"verification/{name}/{key}": value for key, value in found.items()})
        keep()

    for name in sr["sets"]:
        hallucination(name, _store(stores, name), sr["split"])
    if sr["root"] is not None:
        # The store is keyed by the folder, so that another folder is not refused as another version of this one.
        output = folder / "prepared_custom"
        records = read_folder(sr["root"], first_pixel=sr["first_pixel"])
        store = prepare(
            records, output, name="custom", hr_size=rim.hr_size, margin=0.0, alignment=sr["alignment"], workers=workers
        )
        hallucination("custom", store, "test")
    for name, split in identities.items():
        store = _store(stores, name)
        faces = FaceDataset(store, split)
        identity = torch.from_numpy(store.identity[faces.positions])
        gallery, probe, fold = sample_pairs(identity, verification_pairs, 10, seed=0)
        protocol.append(
            f"`{name}_{split}`: pairs sampled by seed 0 from the {split} people of {name}, {_alignment(store)}."
        )
        verification(f"{name}_{split}", faces, gallery, probe, identity[gallery] == identity[probe], fold)
    if lfw["root"] is not None:
        store = prepare(
            read_lfw(lfw["root"], lfw["images"], lfw["landmarks"]),
            prepared_dir / f"{Path(lfw['root']).resolve().name}_{rim.hr_size}",
            name="lfw",
            hr_size=rim.hr_size,
            workers=workers,
        )
        names, pairs = index_pairs(read_pairs(lfw["pairs"], store.names))
        faces = FaceDataset(store, [store.index_of(name) for name in names])
        protocol.append(
            f"`lfw`: {len(pairs.same)} pairs of {Path(lfw['pairs']).name} in {len(set(pairs.fold.tolist()))} folds, "
            f"{_alignment(store)}. What the teacher was trained on is unknown; LFW people may be among it."
        )
        verification("lfw", faces, *(torch.from_numpy(column) for column in pairs))
    keep()
    return figures


def check_evaluation(
    stores: Mapping[str, str],
    hr_size: int,
    sr: Mapping[str, Any],
    identities: Mapping[str, str],
    lfw: Mapping[str, Any],
) -> None:
    """Refuse an evaluation that could not be carried out, before hours of training rather than after them.

    Args: as of `measure`.

    Raises:
        FileNotFoundError, ValueError: a set is missing, of another size or has no faces or too few people; a folder or
            file does not exist; in one sentence.
    """
    for name, split in [*((name, sr["split"]) for name in sr["sets"]), *identities.items()]:
        store = _store(stores, name)
        if store.hr_size != hr_size:
            raise ValueError(
                f"{store.path} holds faces of {store.hr_size} px, the model takes {hr_size}: prepare them with "
                f"hr_size={hr_size}."
            )
        positions = store.select(split)
        if len(positions) == 0:
            raise ValueError(f"{name} has no faces in its {split} split; choose another split, or leave it out.")
        people = len(set(store.identity[positions].tolist()) - {NO_IDENTITY})
        if name in identities and people < 4:
            raise ValueError(
                f"{name} has {people} people in its {split} split; verification in folds needs 4 or more: leave "
                f"{name} out of evaluation.identities, or give the split more people."
            )
    if sr["root"] is not None:
        require_folder(Path(sr["root"]), "face images")
    if lfw["root"] is not None:
        require_folder(Path(lfw["root"]) / lfw["images"], "a folder of images per person")
        require_file(Path(lfw["pairs"]), "the list of pairs")
        if lfw["landmarks"] is not None:
            require_file(Path(lfw["landmarks"]), "a table of landmarks")


def _store(stores: Mapping[str, str], name: str) -> PreparedStore:
    if name not in stores:
        raise ValueError(
            f"The evaluation names the set {name}, but the stores are {', '.join(stores)}: change evaluation.sr.sets "
            f"or evaluation.identities, or give rim-eval +stores.{name}=<prepared folder>."
        )
    return open_store(stores[name])


def _alignment(store: PreparedStore) -> str:
    if store.manifest["alignment"] == "none":
        return "not aligned: the center square of the whole image"
    sources = {"detect": "points found by MTCNN", "synthetic": "the points they were drawn from"}
    source = sources.get(store.manifest["landmarks"], "the points that came with the set, MTCNN's where there are none")
    return f"aligned to the five-point template by {source}"
