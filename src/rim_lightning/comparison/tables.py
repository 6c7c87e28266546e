"""The tables of the paper, with our figures beside the quoted ones."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rim_lightning.comparison.measures import BICUBIC, TEACHER, CrossTar, Laboratory, Quality, Reading, Verified
from rim_lightning.comparison.protocols import FaceSet, PairSet, SearchSet, misaligned
from rim_lightning.comparison.systems import NotTrained
from rim_lightning.functional.bootstrap import (
    mean_interval,
    paired_difference,
    percentile_interval,
    person_interval,
    seeds_resampled,
)
from rim_lightning.functional.verification import kfold_accuracy, threshold_at_far

NOT_RUN, NO_DATA = "not yet run", "no data"
COST = ("thousand training faces", "M parameters", "GFLOP", "faces/s a thread")

Progress = Callable[[Iterable], Iterable]
"""Puts a progress bar around rows."""


RIM = Reading("rim", gallery_of=TEACHER)
RIM_FROM_SCRATCH = Reading("rim_from_scratch", gallery_of="arcface")


class Row(NamedTuple):
    """A row of a verification table. Attributes: label. reading. quoted: column -> the paper's. rim: what "RIM ahead
    by" compares it with."""

    label: str
    reading: Reading
    quoted: Mapping[str, str] = {}
    rim: Reading = RIM


class Table(NamedTuple):
    """Text of a table. Attributes: title. columns, rows: cells as text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


TABLE_1 = (
    Row("(a) T on bicubic", Reading(TEACHER), {"HR-LR": ".843"}),
    Row("(b) S alone, by people, from T's weights", Reading("vanilla_student"), {"HR-LR": ".687"}),
    Row("(c) T + S: plain distillation", Reading("distillation", gallery_of=TEACHER), {"HR-LR": ".802"}),
    Row("(d) FHN + T", Reading("fhn", probe="sr", gallery_of=TEACHER), {"HR-LR": ".997"}),
    Row("(e) FHN + T + S", Reading("rim", probe="student", gallery_of=TEACHER), {"HR-LR": ".966"}),
    Row("(f) FHN + T + S + A: RIM", RIM, {"HR-LR": ".988"}),
    Row("(g) T, sharp probe", Reading(TEACHER, sharp=True, probe="gallery"), {"HR-HR": ".998"}),
    Row("RIM with a joint stage", Reading("rim_with_joint", gallery_of=TEACHER)),
    Row("RIM, FHN after the joint stage + T", Reading("rim_with_joint", probe="sr", gallery_of=TEACHER)),
    Row("RIM without priors", Reading("rim_without_priors", gallery_of=TEACHER)),
    Row("RIM without the domain term", Reading("rim_without_domain", gallery_of=TEACHER)),
    Row("RIM, student and assistant together", Reading("rim_together", gallery_of=TEACHER)),
    Row("RIM split in two at T's cost, from random weights, T's head", Reading("rim_split", gallery_of=TEACHER)),
    Row("RIM, cosine of the stages", Reading("rim_cosine", gallery_of=TEACHER)),
)

TABLE_2 = (
    Row(
        "ArcFace HR-HR",
        Reading(TEACHER, sharp=True, probe="gallery"),
        {"Helen": ".998", "LFW": ".998", "CALFW": ".952", "CPLFW": ".921"},
    ),
    Row(
        "ArcFace HR-SR",
        Reading("fhn", probe="sr", gallery_of=TEACHER),
        {"Helen": ".998", "LFW": ".998", "CALFW": ".950", "CPLFW": ".920"},
    ),
    Row("ArcFace HR-LR", Reading(TEACHER), {"Helen": ".843", "LFW": ".807", "CALFW": ".781", "CPLFW": ".797"}),
    Row("ArcFace LR-LR", Reading(TEACHER, gallery="probe", low_gallery=True)),
    Row("RIM HR-LR", RIM, {"Helen": ".987", "LFW": ".988", "CALFW": ".943", "CPLFW": ".908"}),
    Row("RIM LR-LR", Reading("rim", gallery="probe", low_gallery=True)),
    Row("ArcFace, from scratch, HR-HR", Reading("arcface", sharp=True, probe="gallery"), rim=RIM_FROM_SCRATCH),
    Row("ArcFace, from scratch, HR-SR", Reading("arcface", probe="sr", sr="fhn"), rim=RIM_FROM_SCRATCH),
    Row("ArcFace, from scratch, HR-LR", Reading("arcface"), rim=RIM_FROM_SCRATCH),
    Row(
        "VGGFace2, from scratch, HR-HR",
        Reading("vggface2", sharp=True, probe="gallery"),
        {"LFW": ".994", "CPLFW": ".840"},
        RIM_FROM_SCRATCH,
    ),
    Row(
        "VGGFace2, from scratch, HR-SR",
        Reading("vggface2", probe="sr", sr="fhn"),
        {"LFW": ".990", "CPLFW": ".827"},
        RIM_FROM_SCRATCH,
    ),
    Row("VGGFace2, from scratch, HR-LR", Reading("vggface2"), rim=RIM_FROM_SCRATCH),
    Row(
        "CenterFace, from scratch, HR-HR",
        Reading("centerface", sharp=True, probe="gallery"),
        {"LFW": ".988", "CPLFW": ".775"},
        RIM_FROM_SCRATCH,
    ),
    Row(
        "CenterFace, from scratch, HR-SR",
        Reading("centerface", probe="sr", sr="fhn"),
        {"LFW": ".975", "CPLFW": ".763"},
        RIM_FROM_SCRATCH,
    ),
    Row("CenterFace, from scratch, HR-LR", Reading("centerface"), rim=RIM_FROM_SCRATCH),
    Row("RIM, its teacher from scratch, HR-LR", RIM_FROM_SCRATCH, rim=RIM_FROM_SCRATCH),
)

TABLE_3 = (
    Row("teacher", Reading(TEACHER), {"HR-HR": ".998", "HR-LR": ".843"}),
    Row("vanilla student", Reading("vanilla_student"), {"HR-LR": ".807"}),
    Row("multi-resolution augmentation", Reading("multi_resolution")),
    Row("Staged-CNN", Reading("staged_cnn"), {"HR-HR": ".908", "HR-LR": ".902"}),
    Row("Guided-CNN", Reading("guided_cnn"), {"HR-HR": ".974", "HR-LR": ".938"}),
    Row("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    Row("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER)),
    Row("RIM, student alone", Reading("rim", probe="student", gallery_of=TEACHER)),
    Row("RIM", RIM, {"HR-HR": ".998", "HR-LR": ".988"}),
)

SWEEP = (
    ("teacher", Reading(TEACHER)),
    ("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    ("RIM", RIM),
)

TABLE_4 = {
    BICUBIC: ("bicubic", "24.965 / .629"),
    "srcnn": ("SRCNN", "25.712 / .713"),
    "vdsr": ("VDSR", "25.613 / .730"),
    "lapsrn": ("LapSRN", "26.380 / .786"),
    "esrgan": ("ESRGAN", "25.607 / .783"),
    "coarse": ("coarse only", ""),
    "fhn_without_priors": ("FHN without priors", ""),
    "fhn_without_domain": ("FHN without the domain term", ""),
    "fhn": ("FHN of RIM", "28.572 / .882"),
    "rim_with_joint": ("FHN of RIM after the joint stage, with more training", ""),
}


def hallucination_table(laboratory: Laboratory, sets: Mapping[str, FaceSet], hr_size: int, progress: Progress) -> Table:
    """Table 4: image quality of every hallucination network on every set of faces."""
    columns = ["method"]
    for faces in sets.values():
        columns += [f"{faces.title}: {what}" for what in ("PSNR (95 %)", "against FHN", "SSIM", "identity")]
    columns += ["landmarks", "mIoU", *COST, "quoted PSNR / SSIM"]
    reference = {name: _attempt(laboratory.quality, "fhn", faces) for name, faces in sets.items()}
    rows = []
    for system, (label, quoted) in progress(TABLE_4.items()):
        found = {name: _attempt(laboratory.quality, system, faces) for name, faces in sets.items()}
        row = [label]
        for name in sets:
            row += _quality_cells(found[name], reference[name], system == "fhn")
        known = [each for each in found.values() if isinstance(each, Quality)]
        if known:
            # Nothing ever taught the heads of a network without priors.
            taught = [] if system == "fhn_without_priors" else known
            nme = [each.nme for each in taught if math.isfinite(each.nme)]
            miou = [each.miou for each in taught if math.isfinite(each.miou)]
            row += [f"{nme[0]:.1f} %" if nme else "", f"{miou[0]:.3f}" if miou else ""]
            row += _cost_cells(laboratory, system, "sr_face", hr_size) if system != BICUBIC else ["", "0", "0", ""]
        else:
            row += [""] * (2 + len(COST))
        rows.append([*row, quoted])
    return Table("Table 4: hallucination", columns, rows)


def ablation_table(
    title: str, rows: Sequence[Row], laboratory: Laboratory, pairs: PairSet, hr_size: int, progress: Progress
) -> Table:
    """Tables 1 and 3: every row in detail on one set of pairs.

    "RIM ahead by" is RIM's accuracy minus the row's with its 95 % paired bootstrap over pairs; over all pairs it is the
    difference of the TAR, bootstrapped over people.
    """
    columns = [
        "system",
        "HR-HR",
        "HR-LR (95 %)",
        "std over folds",
        "RIM ahead by",
        "TAR@FAR 1e-2",
        "all pairs: TAR@FAR 1e-3 (95 %)",
        "all pairs: RIM ahead by",
        "EER",
        "AUC",
    ]
    columns += [*COST, "quoted HR-HR", "quoted HR-LR"]
    reference = _attempt(laboratory.verify, RIM, pairs, laboratory.lr_size)
    reference_cross = _attempt(laboratory.cross_tar, RIM, pairs, 1e-3)
    lines = []
    for row in progress(rows):
        quoted = [row.quoted.get(side, "") for side in ("HR-HR", "HR-LR")]
        sharp = _attempt(laboratory.verify, _sharp(row.reading), pairs, laboratory.lr_size)
        found = sharp if row.reading.sharp else _attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
        if isinstance(found, str):
            lines.append([row.label, "", found, *[""] * (7 + len(COST)), *quoted])
            continue
        f = found.figures
        rate = f.get("tar_at_far_1e-2")
        cells = ["" if row.reading.sharp else _accuracy(f), f"{f['accuracy_std']:.4f}"]
        cells.append("" if row.reading == RIM or row.reading.sharp else _ahead(reference, found))
        cells.append("not measurable" if rate is None else f"{rate:.3f}")
        cross = _attempt(laboratory.cross_tar, row.reading, pairs, 1e-3)
        cells += _cross_cells(cross, None if row.reading == RIM or row.reading.sharp else reference_cross)
        cells += [f"{f['eer']:.4f}", f"{f['auc']:.4f}"]
        cost = [""] * len(COST) if row.reading.sharp else _cost_cells(laboratory, *_path(row.reading), hr_size)
        lines.append([row.label, f"{sharp.figures['accuracy']:.4f}", *cells, *cost, *quoted])
    return Table(title, columns, lines)


def overview_table(
    title: str, rows: Sequence[Row], laboratory: Laboratory, sets: Mapping[str, PairSet | None], progress: Progress
) -> Table:
    """Table 2: the accuracy of every row on every set of pairs; None: a set that is not there.

    "RIM ahead by" compares with the RIM of the row's block: rows from scratch with the one whose teacher is, too.
    """
    columns = ["system"]
    for name in sets:
        columns += [f"{name} (95 %)", f"{name}: RIM ahead by", f"{name} quoted"]
    references = {
        (rim, name): _attempt(laboratory.verify, rim, pairs, laboratory.lr_size)
        for rim in dict.fromkeys(row.rim for row in rows)
        for name, pairs in sets.items()
        if pairs is not None
    }
    lines = []
    for row in progress(rows):
        line = [row.label]
        for name, pairs in sets.items():
            quoted = row.quoted.get(name, "")
            if pairs is None:
                line += [NO_DATA, "", quoted]
                continue
            found = _attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
            if isinstance(found, str):
                line += [found, "", quoted]
                continue
            own = row.reading == row.rim or row.reading.sharp
            ahead = "" if own else _ahead(references[row.rim, name], found)
            line += [_accuracy(found.figures), ahead, quoted]
        lines.append(line)
    return Table(title, columns, lines)


def sweep_table(
    laboratory: Laboratory,
    pairs: PairSet,
    people: PairSet,
    sizes: Sequence[int],
    degradations: Mapping[str, Sequence[int]],
    far: float,
    progress: Progress,
) -> Table:
    """Accuracy of the first seed over the size of the probe, for several ways of making it small; and what a threshold
    that was chosen for each size at a FAR on other people does here.

    Args:
        pairs: that are reported. people: that the thresholds are chosen on. sizes: of the columns, pixels.
        degradations: name -> the sizes it is measured at. far: that the thresholds are chosen for.
    """
    columns = ["system", "probe made by", "figure", *(f"{size} px" for size in sizes)]
    lines = []
    for label, reading in progress(SWEEP):
        for degradation, measured in degradations.items():
            cells: dict[str, list[str]] = {"accuracy": [], "FAR": [], "TAR": []}
            for size in sizes:
                found = (
                    [""] * 3
                    if size not in measured
                    else _attempt(_calibrated, laboratory, reading, pairs, people, size, degradation, far)
                )
                for name, cell in zip(cells, [found] * 3 if isinstance(found, str) else found, strict=True):
                    cells[name].append(cell)
            lines.append([label, degradation, "accuracy", *cells["accuracy"]])
            lines.append([label, degradation, f"FAR at the threshold for {far:g}", *cells["FAR"]])
            lines.append([label, degradation, "TAR at that threshold", *cells["TAR"]])
    return Table("Resolution sweep", columns, lines)


def alignment_table(
    laboratory: Laboratory,
    pairs: PairSet,
    faces: FaceSet,
    amounts: Mapping[str, Mapping[str, float]],
    progress: Progress,
) -> Table:
    """What a misaligned probe costs: verification against an aligned gallery by the first seed, and the PSNR to the
    misaligned face.

    Args:
        pairs, faces: that are moved. amounts: column -> as `misaligned` takes them.
    """
    moved = {name: pairs._replace(probes=misaligned(pairs.faces, **each)) for name, each in amounts.items()}
    shown = {
        name: faces._replace(faces=misaligned(faces.faces, **each), digest=f"{faces.digest} {dict(each)}")
        for name, each in amounts.items()
    }
    columns = ["system", "figure", "aligned", *amounts]
    lines = []
    for label, reading in progress((*SWEEP, ("RIM, probe aligned by its landmarks", RIM._replace(probe="realigned")))):
        sets = (pairs, *moved.values())
        found = [_attempt(laboratory.verify, reading, each, laboratory.lr_size, "bicubic", 1) for each in sets]
        cells = [each if isinstance(each, str) else _accuracy(each.figures) for each in found]
        lines.append([label, f"accuracy, {pairs.title}", *cells])
    for system in (BICUBIC, "coarse", "fhn"):
        found = [_attempt(laboratory.quality, system, each) for each in (faces, *shown.values())]
        cells = [each if isinstance(each, str) else f"{each.psnr.mean():.2f}" for each in found]
        lines.append([TABLE_4[system][0], f"PSNR, {faces.title}", *cells])
    return Table("Misaligned probes", columns, lines)


def identification_table(
    laboratory: Laboratory, sets: Mapping[str, SearchSet | None], ranks: Sequence[int], progress: Progress
) -> Table:
    """Closed-set identification: the share of probes whose person is among the first gallery images."""
    columns = ["system"]
    for name in sets:
        columns += [f"{name}: rank {ranks[0]} (95 %)", *(f"{name}: rank {rank}" for rank in ranks[1:])]
    lines = []
    for label, reading in progress((*SWEEP, ("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER)))):
        line = [label]
        for people in sets.values():
            if people is None:
                line += [NO_DATA, *[""] * (len(ranks) - 1)]
                continue
            found = _attempt(laboratory.search, reading, people, laboratory.lr_size)
            if isinstance(found, str):
                line += [found, *[""] * (len(ranks) - 1)]
                continue
            owners = people.identity[people.probe]
            low, high = person_interval(found <= ranks[0], owners, torch.Generator().manual_seed(0))
            rates = [(found <= rank).double().mean().item() for rank in ranks]
            line += [f"{rates[0]:.4f} ({low:.3f} … {high:.3f})", *(f"{rate:.4f}" for rate in rates[1:])]
        lines.append(line)
    return Table("Identification", columns, lines)


def _calibrated(
    laboratory: Laboratory, reading: Reading, pairs: PairSet, people: PairSet, size: int, degradation: str, far: float
) -> list[str]:
    """Accuracy, and FAR and TAR at the threshold of the other people."""
    (own,) = laboratory.scores(reading, people, size, degradation, seeds=1)
    (score,) = laboratory.scores(reading, pairs, size, degradation, seeds=1)
    threshold = threshold_at_far(own, people.same, far)
    accepted = (score >= threshold).double()
    accuracy, _, _ = kfold_accuracy(score, pairs.same, pairs.fold)
    return [f"{accuracy:.4f}", f"{accepted[~pairs.same].mean():.4f}", f"{accepted[pairs.same].mean():.3f}"]


def write_table(folder: Path, name: str, table: Table, notes: Sequence[str]) -> Path:
    """Markdown with the protocol in sentences, CSV and LaTeX, under that name; returns the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"## {table.title}", "", *(f"- {note}" for note in notes), ""]
    lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    markdown = folder / f"{name}.md"
    markdown.write_text("\n".join(lines) + "\n")
    with open(folder / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([table.columns, *table.rows])
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in (table.columns, *table.rows)]
    body.insert(1, r"\midrule")
    tabular = [
        r"\begin{tabular}{" + "l" * len(table.columns) + "}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    (folder / f"{name}.tex").write_text("\n".join(tabular) + "\n")
    return markdown


def _attempt(measure: Callable, *arguments: Any):
    """The figure, or why there is none."""
    try:
        return measure(*arguments)
    except NotTrained:
        return NOT_RUN
    except (ValueError, OSError) as error:
        return f"failed: {error}"


def _accuracy(figures: Mapping[str, float]) -> str:
    seeds = f" ± {figures['accuracy_seeds']:.4f} (seeds)" if "accuracy_seeds" in figures else ""
    return f"{figures['accuracy']:.4f} ({figures['accuracy_low']:.3f} … {figures['accuracy_high']:.3f}){seeds}"


def _sharp(reading: Reading) -> Reading:
    """Sharp against sharp, both read by what reads the gallery."""
    owner = reading.gallery_of or reading.system
    return Reading(owner, probe="gallery", sharp=True)


def _path(reading: Reading) -> tuple[str, str]:
    """System and part whose inference a probe costs."""
    return reading.system, reading.probe


def _ahead(reference: Verified | str | None, found: Verified) -> str:
    if not isinstance(reference, Verified):
        return ""
    mean, low, high = paired_difference(reference.correct, found.correct, torch.Generator().manual_seed(0))
    return f"{mean:+.4f} ({low:+.4f} … {high:+.4f})" + _doubt(low, high)


def _cross_cells(found: CrossTar | str | None, reference: CrossTar | str | None) -> list[str]:
    if not isinstance(found, CrossTar):
        return [found or "not measurable", ""]
    own = seeds_resampled(found.resampled, torch.Generator().manual_seed(0))
    low, high = percentile_interval(own)
    cells = [f"{found.rates.mean():.3f} ({low:.3f} … {high:.3f})", ""]
    if isinstance(reference, CrossTar):
        other = seeds_resampled(reference.resampled, torch.Generator().manual_seed(0))
        low, high = percentile_interval(other - own)
        mean = reference.rates.mean() - found.rates.mean()
        cells[1] = f"{mean:+.3f} ({low:+.3f} … {high:+.3f})" + _doubt(low, high)
    return cells


def _doubt(low: float, high: float) -> str:
    return "" if low > 0 or high < 0 else ", not different"


def _quality_cells(found: Quality | str, reference: Quality | str, own: bool) -> list[str]:
    if isinstance(found, str):
        return [found, "", "", ""]
    low, high = mean_interval(found.psnr, torch.Generator().manual_seed(0))
    seeds = f" ± {found.psnr.mean(1).std():.2f} (seeds)" if len(found.psnr) > 1 else ""
    cells = [f"{found.psnr.mean():.2f} ({low:.2f} … {high:.2f}){seeds}", ""]
    if isinstance(reference, Quality) and not own:
        mean, low, high = paired_difference(found.psnr, reference.psnr, torch.Generator().manual_seed(0))
        cells[1] = f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"
    return [*cells, f"{found.ssim.mean():.3f}", f"{found.identity.mean():.3f}"]


def _cost_cells(laboratory: Laboratory, system: str, part: str, hr_size: int) -> list[str]:
    seen = _attempt(laboratory.faces_seen, system)
    shown = seen if isinstance(seen, str) else f"{seen / 1e3:.1f}" if seen else ""
    cost = _attempt(laboratory.cost, system, part, hr_size)
    if isinstance(cost, str):
        return [shown, cost, "", ""]
    return [shown, f"{cost['parameters'] / 1e6:.2f}", f"{cost['gflop']:.2f}", f"{cost['faces_per_s']:.0f}"]


def _latex(cell: str) -> str:
    for character, written in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("±", r"$\pm$")):
        cell = cell.replace(character, written)
    return cell
