"""What a run leaves behind to look at: a Markdown report with tables, loss curves and panels of faces."""

import math
from pathlib import Path

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.evaluation.plots import plot_curves, plot_panel
from rim_lightning.evaluation.verification import SYSTEMS
from rim_lightning.files import write_json

NAMES = {
    "teacher_bicubic": "teacher on bicubic",
    "teacher_sr": "teacher on hallucinated face",
    "student": "student",
    "rim": "RIM (student + assistant)",
}


def write_metrics(path: Path, figures: dict[str, float]) -> None:
    """Flat JSON, keys sorted, written in one go so that a reader never sees half of it. A figure that is not finite
    (the landmark error of a set without points, say) is left out: JSON has no word for it.
    """
    figures = {key: value for key, value in figures.items() if math.isfinite(value)}
    write_json(path, dict(sorted(figures.items())))


def write_report(
    folder: Path,
    title: str,
    protocol: list[str],
    figures: dict[str, float],
    panels: dict[str, Panel],
    curves: Path,
) -> Path:
    """Write `report.md` and its pictures.

    Args:
        folder: where to write. title: first line. protocol: sentences that say how the figures were measured.
        figures: flat, as in metrics.json. panels: name of the set -> faces.
        curves: folder of Lightning's CSV logs, one `version_<n>/metrics.csv` a sitting; without any, curves are
            left out.
    """
    lines = [f"# {title}", "", *(f"- {sentence}" for sentence in protocol), ""]
    lines += _hallucination_table(figures) + _verification_tables(figures)
    for name, panel in panels.items():
        picture = folder / f"panel_{name}.png"
        plot_panel(picture, panel)
        lines += [f"## Faces of {name}", "", f"![faces of {name}]({picture.name})", ""]
    if plot_curves(folder / "curves.png", curves):
        lines += ["## Curves", "", "![loss and validation curves](curves.png)", ""]
    report = folder / "report.md"
    report.write_text("\n".join(lines))
    return report


def _hallucination_table(figures: dict[str, float]) -> list[str]:
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
        of = {key.removeprefix(f"sr/{name}/"): value for key, value in figures.items() if key.startswith(f"sr/{name}/")}
        protocol = "y" if "psnr_y" in of else "rgb"
        for label, prefix in (("bicubic", "bicubic/"), ("coarse", "coarse/"), ("**RIM**", "")):
            gain = f"psnr_gain_{protocol}"
            interval = (
                f"{of[gain]:+.2f} dB ({of[f'{gain}_low']:+.2f} … {of[f'{gain}_high']:+.2f})" if not prefix else ""
            )
            psnr, ssim = of[f"{prefix}psnr_{protocol}"], of[f"{prefix}ssim_{protocol}"]
            lines.append(f"| {name} | {of['faces']:.0f} | {label} | {psnr:.2f} | {ssim:.3f} | {interval} |")
    lines += [""]
    priors = [
        (key, value)
        for key, value in sorted(figures.items())
        if key.startswith("sr/") and ("/nme" in key or "/miou" in key)
    ]
    if priors:
        lines += ["| priors | value |", "|---|---|"]
        lines += [
            f"| `{key}` | {value:.3f}{' % of the eye distance' if '/nme' in key else ''} |" for key, value in priors
        ]
        lines += [""]
    return lines


def _verification_tables(figures: dict[str, float]) -> list[str]:
    lines: list[str] = []
    for name in sorted({key.split("/")[1] for key in figures if key.startswith("verification/")}):
        start = f"verification/{name}/"
        of = {key.removeprefix(start): value for key, value in figures.items() if key.startswith(start)}
        sizes = sorted({int(key.split("/")[0]) for key in of if key[0].isdigit()})
        lines += [f"## Verification on {name}, {of['pairs']:.0f} pairs", ""]
        lines += [
            "| probe | system | accuracy (95 %) | std over folds | TAR@FAR 1e-2 | EER | AUC |",
            "|---|---|---|---|---|---|---|",
        ]
        rows = [("hr", "teacher", "teacher, sharp probe")]
        rows += [(str(size), system, NAMES[system]) for size in sizes for system in SYSTEMS]
        for size, system, label in rows:
            row = {key.split("/")[2]: value for key, value in of.items() if key.startswith(f"{size}/{system}/")}
            tar = f"{row['tar_at_far_1e-2']:.3f}" if "tar_at_far_1e-2" in row else "not measurable"
            interval = f"{row['accuracy']:.4f} ({row['accuracy_low']:.3f} … {row['accuracy_high']:.3f})"
            probe = size if size == "hr" else f"{size} px"
            lines.append(
                f"| {probe} | {label} | {interval} | {row['accuracy_std']:.4f} | {tar} | {row['eer']:.3f} "
                f"| {row['auc']:.4f} |"
            )
        lines += [""]
    return lines
