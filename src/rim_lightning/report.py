"""What a run leaves behind to look at: a Markdown report with tables, loss curves and panels of faces."""

import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from torch import Tensor

from rim_lightning.data.schemes import parsing_colours
from rim_lightning.evaluation import SYSTEMS, Panel
from rim_lightning.plotting import pyplot
from rim_lightning.run_state import write_whole
from rim_lightning.types import UNLABELLED

NAMES = {
    "teacher_bicubic": "teacher on bicubic",
    "teacher_sr": "teacher on hallucinated face",
    "student": "student",
    "rim": "RIM (student + assistant)",
}


def write_metrics(path: Path, figures: dict[str, float]) -> None:
    """Flat JSON, keys sorted, written in one go so that a reader never sees half of it. A figure that is not finite
    (the landmark error of a set without points, say) is left out: JSON has no word for it."""
    figures = {key: value for key, value in figures.items() if math.isfinite(value)}
    write_whole(path, dict(sorted(figures.items())))


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
        draw_panel(picture, panel)
        lines += [f"## Faces of {name}", "", f"![faces of {name}]({picture.name})", ""]
    if draw_curves(folder / "curves.png", curves):
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


def draw_panel(path: Path, panel: Panel) -> None:
    """A row per face: LR | bicubic | coarse | SR | HR | heatmaps | parsing | parsing (true, where there is a label)."""
    plt = pyplot()
    truth = bool((panel.parsing_true != UNLABELLED).any())
    columns = ["LR", "bicubic", "coarse", "SR", "HR", "heatmaps", "parsing", *(["true parsing"] if truth else [])]
    count = len(panel.hr)
    figure, axes = plt.subplots(count, len(columns), figsize=(1.6 * len(columns), 1.72 * count), squeeze=False)
    for row in range(count):
        images = (panel.lr, panel.bicubic, panel.coarse, panel.sr, panel.hr)
        for column, image in enumerate(images):
            axes[row, column].imshow(to_pixels(image[row]), interpolation="nearest")
        axes[row, 5].imshow(to_pixels(panel.sr[row]))
        axes[row, 5].imshow(panel.heatmaps[row].clamp(0, 1), cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        axes[row, 6].imshow(parsing_colours()[panel.parsing[row].numpy()], interpolation="nearest")
        if truth:
            axes[row, 7].imshow(parsing_colours()[panel.parsing_true[row].numpy()], interpolation="nearest")
        for column, value in ((1, panel.psnr_bicubic[row]), (3, panel.psnr_sr[row])):
            axes[row, column].text(
                0.03,
                0.03,
                f"{value:.2f} dB",
                transform=axes[row, column].transAxes,
                color="white",
                fontsize=7,
                bbox={"color": "black", "alpha": 0.6, "pad": 1.0},
            )
    for column, name in enumerate(columns):
        axes[0, column].set_title(name, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_curves(path: Path, source: Path) -> bool:
    """Losses per phase and validation figures of the CSV logs in `source`; False if there are none yet."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _logged_rows(source):
        for key, value in row.items():
            if value and key.startswith(("train/", "val/")):
                series[key].append((float(row["step"]), float(value)))
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(series):
        if key.startswith("train/") and not key.endswith("/loss"):
            groups[f"train: {key.split('/')[1]}"].append(key)
    for title, keys in (
        ("validation: Y-PSNR (dB)", [key for key in series if key.endswith("/psnr_y")]),
        ("validation: verification accuracy", ["val/rim/accuracy"] if "val/rim/accuracy" in series else []),
    ):
        if keys:
            groups[title] = keys
    if not groups:
        return False
    plt = pyplot()
    figure, axes = plt.subplots(-(-len(groups) // 2), 2, figsize=(11, 3.1 * -(-len(groups) // 2)), squeeze=False)
    for axis, (title, keys) in zip(axes.flat, groups.items(), strict=False):
        logarithmic = title.startswith("train") and all(value >= 0 for key in keys for _, value in series[key])
        for key in keys:
            steps, values = np.array(series[key]).T
            if logarithmic:
                values = np.where(values > 0, values, np.nan)  # a batch without labels has a term of 0
            name = key.split("/", 2)[-1] if key.startswith("train") else key
            axis.plot(steps, values, label=name, linewidth=1, marker="o" if key.startswith("val") else None)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("batches", fontsize=7)
        if logarithmic:
            axis.set_yscale("log")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(groups) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return True


def _logged_rows(source: Path) -> list[dict[str, str]]:
    """Rows of all sittings; what a killed one did after its last checkpoint gives way to the sitting that redid it."""
    rows: list[dict[str, str]] = []
    for file in sorted(source.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1])):
        with file.open() as stream:
            sitting = list(csv.DictReader(stream))
        first = min((float(row["step"]) for row in sitting), default=float("inf"))
        rows = [row for row in rows if float(row["step"]) < first] + sitting
    return rows


def to_pixels(image: Tensor) -> np.ndarray:
    """(3, H, W), RGB in [-1, 1] (beyond it clipped) -> (H, W, 3) uint8."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
