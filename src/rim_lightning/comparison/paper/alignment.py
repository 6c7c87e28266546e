"""What a misaligned probe costs."""

from collections.abc import Mapping

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import BICUBIC
from rim_lightning.comparison.paper.cells import FIRST_SEED, accuracy_cell, attempt, pair_notes, rows_with_progress
from rim_lightning.comparison.paper.rows import NOT_REALIGNED, SWEEP, TABLE_4
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import FaceSet, PairSet, misaligned


def make_alignment_table(comparison: Comparison) -> Table:
    """Make the table of misaligned probes on the detailed set and on the faces of the figures."""
    pairs, faces = comparison.detailed, comparison.first_faces()
    table = alignment_table(comparison.laboratory, pairs, faces, comparison.settings["misalignment"])
    return table._replace(notes=[FIRST_SEED, *pair_notes(pairs)])


def alignment_table(
    laboratory: Laboratory,
    pairs: PairSet,
    faces: FaceSet,
    amounts: Mapping[str, Mapping[str, float] | str],
) -> Table:
    """Measure verification against an aligned gallery by the first seed, and the PSNR to the misaligned face.

    Args:
        laboratory: Measures the systems.
        pairs: Pairs whose probes are moved.
        faces: Faces that are moved.
        amounts: Column -> how far the faces are moved, see `misaligned`.
    """
    size = laboratory.lr_size
    pair_sets = [pairs, *(pairs._replace(probes=misaligned(pairs.faces, moves, size)) for moves in amounts.values())]
    face_sets = [faces]
    for moves in amounts.values():
        misaligned_faces = misaligned(faces.dataset, moves, size)
        name = moves if isinstance(moves, str) else dict(moves)
        face_sets.append(faces._replace(dataset=misaligned_faces, digest=f"{faces.digest} {name}"))
    lines = []
    for label, reading in rows_with_progress((*SWEEP, (NOT_REALIGNED.label, NOT_REALIGNED.reading))):
        cells = []
        for moved_pairs in pair_sets:
            verified = attempt(laboratory.verify, reading, moved_pairs, size, seeds=1)
            cells.append(verified if isinstance(verified, str) else accuracy_cell(verified.figures))
        lines.append([label, f"accuracy, {pairs.title}", *cells])
    for system in (BICUBIC, "coarse", "fhn"):
        cells = []
        for moved_faces in face_sets:
            quality = attempt(laboratory.quality, system, moved_faces)
            cells.append(quality if isinstance(quality, str) else f"{quality.psnr.mean():.2f}")
        lines.append([TABLE_4[system][0], f"PSNR, {faces.title}", *cells])
    return Table("Misaligned probes", ["system", "figure", "aligned", *amounts], lines)
