"""Table 4: image quality of every hallucination network on every set of faces."""

import math
from collections.abc import Mapping, Sequence

import torch

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.quality import Quality
from rim_lightning.comparison.laboratory.readings import BICUBIC
from rim_lightning.comparison.paper.cells import COST_COLUMNS, attempt, cost_cells, rows_with_progress
from rim_lightning.comparison.paper.rows import LANDMARKS, TABLE_4
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.constants import constant_figures, constant_priors, training_faces
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.bootstrap import mean_interval, paired_difference


def make_table_4(comparison: Comparison) -> Table:
    """Make table 4: PSNR, SSIM, identity, priors and cost of every hallucination network."""
    sizes = ", ".join(f"{faces.title}: {len(faces.dataset)} faces" for faces in comparison.faces.values())
    note = f"PSNR and SSIM of BT.601 luma, no border left out; {sizes}. identity: cosine of the teacher's "
    note += "embeddings. ESRGAN, joint learning and the identity loss train against that teacher, which favors them."
    constant = (
        "constant: the mean shape and the most frequent class of each pixel, of the set's training faces or, without "
        "any, of the faces themselves, as the answer for every face."
    )
    table = hallucination_table(
        comparison.laboratory, comparison.faces, comparison.hr_size, constant_cells(comparison.faces)
    )
    return table._replace(notes=[note, constant])


def hallucination_table(
    laboratory: Laboratory, sets: Mapping[str, FaceSet], hr_size: int, constants: Sequence[str] = ("", "")
) -> Table:
    """Measure every hallucination network on sets of faces.

    Args:
        laboratory: Measures the networks.
        sets: Name -> faces.
        hr_size: Side of the sharp faces in pixels.
        constants: Landmark error and mIoU of a constant answer, for the row of bicubic enlargement.
    """
    columns = ["method"]
    for faces in sets.values():
        columns += [f"{faces.title}: {what}" for what in ("PSNR (95 %)", "against FHN", "SSIM", "identity")]
    columns += ["landmarks", "mIoU", *COST_COLUMNS, "quoted PSNR / SSIM"]
    fhn = {name: attempt(laboratory.quality, "fhn", faces) for name, faces in sets.items()}
    rows = []
    for system, (label, quoted) in rows_with_progress(TABLE_4.items()):
        results = {name: attempt(laboratory.quality, system, faces) for name, faces in sets.items()}
        row = [label]
        for name, result in results.items():
            row += _quality_cells(result, "" if system == "fhn" else fhn[name])
        qualities = [result for result in results.values() if isinstance(result, Quality)]
        if not qualities:
            row += [""] * (2 + len(COST_COLUMNS))
        else:
            # The prior heads of fhn_without_priors were never trained.
            of_networks = _prior_cells([] if system == "fhn_without_priors" else qualities)
            row += constants if system == BICUBIC else of_networks
            row += ["", "", "0", "0", ""] if system == BICUBIC else cost_cells(laboratory, system, "sr_face", hr_size)
        rows.append([*row, quoted])
    return Table("Table 4: hallucination", columns, rows)


def _quality_cells(quality: Quality | str, fhn: Quality | str) -> list[str]:
    """Format PSNR, difference to the FHN of RIM (if that is measured), SSIM and identity."""
    if isinstance(quality, str):
        return [quality, "", "", ""]
    low, high = mean_interval(quality.psnr, torch.Generator().manual_seed(0))
    seeds = f" ± {quality.psnr.mean(1).std():.2f} (seeds)" if len(quality.psnr) > 1 else ""
    cells = [f"{quality.psnr.mean():.2f} ({low:.2f} … {high:.2f}){seeds}", ""]
    if isinstance(fhn, Quality):
        mean, low, high = paired_difference(quality.psnr, fhn.psnr, torch.Generator().manual_seed(0))
        cells[1] = f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"
    return [*cells, f"{quality.ssim.mean():.3f}", f"{quality.identity.mean():.3f}"]


def constant_cells(sets: Mapping[str, FaceSet]) -> list[str]:
    """Format what constant landmarks and classes reach on the first set that has them."""
    figures: dict[str, float] = {}
    for faces in sets.values():
        constants = constant_priors([training_faces(faces.dataset)[0]], [LANDMARKS])
        figures = constant_figures(constants, [faces.dataset]) | figures
    nme, miou = figures.get(f"nme/{LANDMARKS}_constant"), figures.get("miou_constant")
    return [
        "" if nme is None else f"{nme:.1f} % (constant)",
        "" if miou is None else f"{miou:.3f} (constant)",
    ]


def _prior_cells(qualities: list[Quality]) -> list[str]:
    """Format landmark error and IoU of the first set that has them."""
    nme = [quality.nme for quality in qualities if math.isfinite(quality.nme)]
    miou = [quality.miou for quality in qualities if math.isfinite(quality.miou)]
    return [f"{nme[0]:.1f} %" if nme else "", f"{miou[0]:.3f}" if miou else ""]
