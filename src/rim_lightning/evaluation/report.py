"""The files that an evaluation writes: metrics.json, and a Markdown report with tables, curves and faces."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.evaluation.plots import plot_curves, plot_panel
from rim_lightning.evaluation.verification import SYSTEMS, USED
from rim_lightning.files import printable, write_json, write_text
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.provenance import provenance
from rim_lightning.runs.words import in_words

LABELS = {
    "teacher_bicubic": "teacher on bicubic",
    "teacher_sr": "teacher on hallucinated face",
    "student": "student",
    "rim": "RIM (student + assistant)",
    "mixture": "RIM mixed with the teacher by size",
    "reduced_gallery": "with the reduced gallery face too",
}
"""System -> its label in the report."""


@dataclass
class Report:
    """Figures and pictures of one evaluation, collected set by set.

    Attributes:
        folder: Where metrics and report are written.
        title: First line of the report.
        protocol: Sentences that say how the figures were measured.
        curves: Folder of the logged values of the training run, one `version_<n>/metrics.csv` per attempt. If it holds
            none, the report has no curves.
        figures: Name -> figure, as in metrics.json.
        panels: Name of a set -> faces of it.
    """

    folder: Path
    title: str
    protocol: list[str]
    curves: Path
    figures: dict[str, float] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)

    def add(self, prefix: str, figures: dict[str, float]) -> None:
        """Add the figures of a set under `<prefix>/<name>` and write all files again."""
        self.figures |= {f"{prefix}/{name}": value for name, value in figures.items()}
        self.write()

    def write(self) -> None:
        """Write metrics.json, report.md and its pictures."""
        files = RunFolder(self.folder)
        write_metrics(files.metrics, self.figures)
        lines = [f"# {self.title}", "", *(f"- {sentence}" for sentence in self.protocol), ""]
        lines += ["## Origin of the figures", "", *(f"- {sentence}" for sentence in provenance(self.folder)), ""]
        lines += _hallucination_tables(self.figures) + _verification_tables(self.figures)
        for name, panel in self.panels.items():
            picture = self.folder / f"panel_{name}.png"
            plot_panel(picture, panel)
            lines += [f"## Faces of {name}", "", f"![faces of {name}]({picture.name})", ""]
        if plot_curves(self.folder / "curves.png", self.curves):
            lines += ["## Curves", "", "![loss and validation curves](curves.png)", ""]
        write_text(files.report, "\n".join(map(printable, lines)))  # the title and the command name files


def write_metrics(path: Path, figures: dict[str, float]) -> None:
    """Write figures as flat JSON with sorted keys, in one piece.

    Figures that are not finite are left out, because JSON has no word for them: the landmark error of a set without
    landmarks, for example.
    """
    figures = {key: value for key, value in figures.items() if math.isfinite(value)}
    write_json(path, dict(sorted(figures.items())))


def _hallucination_tables(figures: dict[str, float]) -> list[str]:
    sets = sorted({key.split("/")[1] for key in figures if key.startswith("sr/")})
    if not sets:
        return []
    lines = [
        "## Hallucination",
        "",
        "| set | faces | image | PSNR | SSIM | gain over bicubic (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for name in sets:
        lines += _image_quality_rows(name, _below(f"sr/{name}/", figures))
    lines += [""]
    priors = [key for key in sorted(figures) if key.startswith("sr/") and ("/nme" in key or "/miou" in key)]
    if priors:
        lines += ["| priors | value | key in metrics.json |", "|---|---|---|"]
        lines += [f"| {in_words(key)} | {figures[key]:.3f} | `{key}` |" for key in priors]
        lines += [""]
    return lines


def _image_quality_rows(name: str, figures: dict[str, float]) -> list[str]:
    """Return the rows of one set: bicubic, coarse face, hallucinated face with its gain."""
    protocol = "y" if "psnr_y" in figures else "rgb"
    gain = f"psnr_gain_{protocol}"
    interval = f"{figures[gain]:+.2f} dB ({figures[f'{gain}_low']:+.2f} … {figures[f'{gain}_high']:+.2f})"
    rows = []
    for label, prefix, gained in (("bicubic", "bicubic/", ""), ("coarse", "coarse/", ""), ("**RIM**", "", interval)):
        psnr, ssim = figures[f"{prefix}psnr_{protocol}"], figures[f"{prefix}ssim_{protocol}"]
        rows.append(f"| {name} | {figures['faces']:.0f} | {label} | {psnr:.2f} | {ssim:.3f} | {gained} |")
    return rows


def _verification_tables(figures: dict[str, float]) -> list[str]:
    lines: list[str] = []
    for name in sorted({key.split("/")[1] for key in figures if key.startswith("verification/")}):
        of_set = _below(f"verification/{name}/", figures)
        sizes = sorted({int(key.split("/")[0]) for key in of_set if key[0].isdigit()})
        lines += [f"## Verification on {name}, {of_set['pairs']:.0f} pairs", ""]
        lines += [
            "| probe | system | accuracy (95 %) | std over folds | TAR@FAR 1e-2 | EER | AUC |",
            "|---|---|---|---|---|---|---|",
        ]
        lines.append(_verification_row("hr", "teacher, sharp probe", _below("hr/teacher/", of_set)))
        for size in sizes:
            added = [system for system in USED if f"{size}/{system}/accuracy" in of_set]
            for system in (*SYSTEMS, *added):
                row = _verification_row(f"{size} px", LABELS[system], _below(f"{size}/{system}/", of_set))
                lines.append(row)
        lines += [""]
    return lines


def _verification_row(probe: str, label: str, figures: dict[str, float]) -> str:
    tar = f"{figures['tar_at_far_1e-2']:.3f}" if "tar_at_far_1e-2" in figures else "not measurable"
    interval = f"{figures['accuracy']:.4f} ({figures['accuracy_low']:.3f} … {figures['accuracy_high']:.3f})"
    cells = (probe, label, interval, f"{figures['accuracy_std']:.4f}", tar, f"{figures['eer']:.3f}")
    return f"| {' | '.join(cells)} | {figures['auc']:.4f} |"


def _below(prefix: str, figures: dict[str, float]) -> dict[str, float]:
    """Return the figures whose name begins with the prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in figures.items() if key.startswith(prefix)}
