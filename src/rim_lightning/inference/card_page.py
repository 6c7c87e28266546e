"""The card of a model as a page for people: `model_card.md`, made of `card.json` alone. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.verdict import in_percent

CARD_PAGE = "model_card.md"
NOTICE = "NOTICE"
"""File with the license of the teacher's weights."""

HALVED_WEIGHTS = {
    "recognition": "Weights of the recognition networks",  # this and the next in folders of earlier versions
    "hallucination": "Weights of the hallucination network",
    "stacks": "Weights of the coarse network and the integrator",
}
"""What a card says is in half precision -> the same in words; anything else is all weights."""

VERIFICATION = re.compile(r"verification/(.+)/(\d+)/rim/accuracy")
HALLUCINATION = re.compile(r"sr/([^/]+)/psnr_y")


def card_page(card: Mapping[str, Any]) -> str:
    """Return the page of a card.

    Args:
        card: Content of `card.json`.

    Returns:
        Markdown: training, terms, error rates, figures of the run and limits. What the card does not know is left out.
    """
    arguments = card["architecture"]["arguments"]
    lines = [
        f"# RIM, {arguments['lr_size']} → {arguments['hr_size']} px",
        "",
        "`rim export` wrote this page from `card.json`, which has all figures.",
        "",
        f"- Fingerprint: {card['fingerprint']}, by version {card['version']}",
        *_training_lines(card.get("training", {})),
    ]
    if "half_precision_change" in card:
        change = card["half_precision_change"]
        part = HALVED_WEIGHTS.get(card.get("half_precision", "all"), "Weights")
        lines.append(f"- {part} in half precision, which changes a similarity by {change:.1g} at most")
    lines += ["", "## Terms", "", card["license"], *(["", card["terms"]] if "terms" in card else [])]
    if NOTICE in card["files"]:
        lines += ["", f"`{NOTICE}` is the license of the teacher's weights."]
    if card["calibration"] is not None:
        lines += ["", "## Error rates", "", *_calibration_lines(Calibration.from_plain(card["calibration"]))]
    metrics = card.get("metrics", {})
    lines += [*_verification_lines(metrics), *_hallucination_lines(metrics)]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in card["limits"]), ""]
    return "\n".join(lines)


def _training_lines(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known of the run that trained the model."""
    if "command" in training:
        yield f"- Trained by `{training['command']}`"
    if "sets" in training:
        yield f"- Sets: {', '.join(training['sets'])}"
    if "faces" in training:
        yield f"- Faces seen: {training['faces']:,}"
    if "code" in training:
        yield f"- Code: {training['code']}"
    for earlier in training.get("started_from", []):
        command = earlier.get("command", "an earlier run")
        yield f"- It started from networks of `{command}`: {earlier.get('faces', 0):,} faces"


def _calibration_lines(calibration: Calibration) -> Iterator[str]:
    """Yield the shares of true pairs that are refused, by size and false accept rate."""
    yield (
        f"Share of true pairs refused, by the size of the probe, on {calibration.chosen_on.in_words()}: "
        f"{calibration.genuine:,} genuine and {calibration.impostors:,} impostor pairs."
    )
    yield ""
    intervals, ratios = calibration.intervals, calibration.ratios
    names = [*(f"FAR {far:g}" for far in calibration.fars), *([] if ratios is None else ["Cllr"])]
    yield f"| probe | {' | '.join(names)} |"
    yield "|---" * (1 + len(names)) + "|"
    for row, (size, rates) in enumerate(zip(calibration.sizes, calibration.frrs[0, 0], strict=True)):
        ends = (
            [None] * len(rates)
            if intervals is None
            else [calibration.stated_intervals(column)[0, 0, row, 2:].tolist() for column in range(len(rates))]
        )
        cells = [_refused(rate, interval) for rate, interval in zip(rates, ends, strict=True)]
        yield f"| {size} px | {' | '.join(cells + ([] if ratios is None else [f'{ratios[0, 0, row, 3]:.2f}']))} |"
    if intervals is not None or ratios is not None:
        yield ""
        yield (
            "In brackets: 95 % intervals over other people. Cllr is the cost of the likelihood ratios: 0 is best, 1 "
            "says nothing."
        )


def _refused(rate: float, interval: list[float] | None) -> str:
    """Return a share of true pairs that are refused, with its interval if there is one."""
    if math.isnan(rate):
        return "–"
    return in_percent(rate) + ("" if interval is None else f" ({in_percent(interval[0])} … {in_percent(interval[1])})")


def _verification_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """Yield a table of the accuracies, with the teacher on the enlarged probe beside them."""
    found = [match for key in metrics if (match := VERIFICATION.fullmatch(key))]
    if not found:
        return
    yield from ("", "## Verification", "", "| pairs | probe | the teacher on bicubic | RIM | 95 % interval |")
    yield "|---|---|---|---|---|"
    for name, size in sorted((match[1], int(match[2])) for match in found):
        prefix = f"verification/{name}/{size}"
        keys = ("teacher_bicubic/accuracy", "rim/accuracy", "rim/accuracy_low", "rim/accuracy_high")
        teacher, rim, low, high = (_share(metrics.get(f"{prefix}/{key}")) for key in keys)
        yield f"| {name} | {size} px | {teacher} | {rim} | {low} … {high} |"


def _hallucination_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """Yield a table of the image quality, with bicubic enlargement beside it."""
    names = [match[1] for key in metrics if (match := HALLUCINATION.fullmatch(key))]
    if not names:
        return
    yield from (
        "",
        "## Hallucinated faces",
        "",
        "| faces | bicubic, Y-PSNR | RIM, Y-PSNR | bicubic, SSIM | RIM, SSIM |",
    )
    yield "|---|---|---|---|---|"
    for name in sorted(names):
        psnr = [metrics.get(f"sr/{name}/{key}") for key in ("bicubic/psnr_y", "psnr_y")]
        ssim = [metrics.get(f"sr/{name}/{key}") for key in ("bicubic/ssim_y", "ssim_y")]
        cells = ["–" if value is None else f"{value:.2f} dB" for value in psnr] + [_share(value) for value in ssim]
        yield f"| {name} | {' | '.join(cells)} |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".removeprefix("0")
