"""rim_lightning.comparison.paper.alignment."""

from collections.abc import Mapping

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import BICUBIC
from rim_lightning.comparison.paper.cells import Progress, _accuracy, _attempt
from rim_lightning.comparison.paper.rows import RIM, SWEEP, TABLE_4
from rim_lightning.comparison.paper.write import Table
from rim_lightning.evaluation.protocols import FaceSet, PairSet, misaligned


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
