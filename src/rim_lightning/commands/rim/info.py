"""`rim info`: show what the card of a model says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.options import EXIT_CODES, Place, json_option
from rim_lightning.commands.rim.output import echo_json, say
from rim_lightning.inference.verdict import DEFAULT_FAR, TRUE_PROBES, in_percent, interval_counts

if TYPE_CHECKING:
    from rim_lightning.inference.calibration import Calibration


@click.command(epilog=EXIT_CODES)
@click.argument("model", type=Place(), required=False)
@json_option
def info(model: Path | None, as_json: bool) -> None:
    """Show the card of MODEL, a model folder; without it that of the model that comes with the package.

    \b
    Example:
      rim info my_model
    """
    from rim_lightning.inference.card import read_card
    from rim_lightning.inference.default_model import shipped_model

    if model is None:
        model = shipped_model()
        if model is None:
            raise click.UsageError("Missing argument 'MODEL'.", click.get_current_context())
        if not as_json:
            say("the model that comes with the package")
    card = read_card(model)
    if as_json:
        echo_json(card)
        return
    for line in _card_lines(card):
        say(line)


def _card_lines(card: dict[str, Any]) -> Iterator[str]:
    """Yield what a card says, line by line."""
    arguments = card["architecture"]["arguments"]
    yield f"RIM, {arguments['lr_size']} -> {arguments['hr_size']} px, fingerprint {card['fingerprint']}"
    yield f"files: {', '.join(card['files'])}"
    yield from usage_lines(card.get("usage", {}))
    if card["calibration"] is None:
        yield "no thresholds: rim export --people chooses them"
    else:
        from rim_lightning.inference.calibration import Calibration

        yield from calibration_lines(Calibration.from_plain(card["calibration"]), arguments["lr_size"])
    yield " ".join(filter(None, (str(card["license"]), card.get("terms"))))
    yield from (f"- {limit}" for limit in card["limits"])


def usage_lines(plain: dict[str, Any]) -> Iterator[str]:
    """Yield how a model is used, if it is not by one look of RIM alone."""
    if plain.get("flip") or plain.get("shift"):
        looks = [*(["mirrored"] if plain["flip"] else []), *(["moved"] if plain["shift"] else [])]
        yield f"embeddings are averaged with those of the {' and '.join(looks)} face"
    for name, title in (
        ("mixture", "weight of RIM beside the teacher"),
        ("reduced_gallery", "weight of the reduced gallery face in verify"),
    ):
        if name in plain:
            weights = ", ".join(f"{size:g} px {weight:g}" for size, weight in zip(*plain[name], strict=True))
            yield f"{title}: {weights}"


def _interval_lines(calibration: Calibration, size: int) -> Iterator[str]:
    """Yield what is known of other people's rates at one size, and of probes without a face and ratios at each."""
    if calibration.not_acquired is not None:
        shares = zip(calibration.sizes, calibration.not_acquired, strict=True)
        found = ", ".join(f"{side} px {in_percent(share)}" for side, share in shares)
        if calibration.probes.startswith(TRUE_PROBES):
            found = f"{in_percent(calibration.not_acquired[0])} of the probes of all sizes together"
        yield f"  no usable face is found in (not among the rates above): {found}"
    if calibration.intervals is not None:
        yield f"  on other people, at the thresholds for {size} px (95 % intervals):"
        for far in calibration.usable_fars():
            point = calibration.operating_point(size, far)
            if point.far_interval is not None and point.frr_interval is not None:
                passed, missed = map(interval_counts, (point.far_interval, point.frr_interval))
                yield f"  FAR {far:g}: {passed} strangers pass, {missed} true pairs are missed"
    if calibration.ratios is not None:
        costs = zip(calibration.sizes, calibration.ratios[0, 0], strict=True)
        yield "  cost of likelihood ratios (Cllr; 0 is best, 1 says nothing): " + ", ".join(
            f"{side} px {ratio[3]:.2f}" for side, ratio in costs
        )
    if calibration.quality is not None:
        signals, sizes, _, _, weights = calibration.quality
        rises = ", ".join(f"{name} {weight:+.2f}" for name, weight in zip(signals, weights, strict=True))
        yield f"  quality of a probe: {rises} at {sizes[0]} to {sizes[-1]} px (log odds of a miss)"


def demo_only(calibration: Calibration) -> str:
    """Return a remark if the model decides with --demo only."""
    return " verify, identify and page refuse it without --demo." if calibration.synthetic else ""


def calibration_lines(calibration: Calibration, lr_size: int) -> Iterator[str]:
    """Yield the false reject rates of single pictures by size and FAR, then what is known of a size near `lr_size`."""
    near = min(calibration.sizes, key=lambda size: abs(math.log(size / lr_size)))
    if calibration.synthetic:
        yield f"the faces of the thresholds are synthetic:{demo_only(calibration)}"
    yield f"probes of the thresholds: {calibration.probes}"
    yield (
        f"thresholds chosen on {calibration.people} people of {calibration.set_name}, {calibration.genuine:,} genuine "
        f"and {calibration.impostors:,} impostor pairs ({calibration.chosen_on.faces}); share of true pairs refused:"
    )
    yield "  probe    " + "".join(f"FAR {far:<9g}" for far in calibration.fars)
    for size, rates in zip(calibration.sizes, calibration.frrs[0, 0], strict=True):
        cells = ["–" if math.isnan(rate) else in_percent(rate) for rate in rates]
        yield f"  {size:>3} px   " + "".join(f"{cell:<13}" for cell in cells)
    fars = calibration.usable_fars()
    yield from _interval_lines(calibration, near)
    if len(calibration.counts) == 1 or not fars:
        return
    far = min(fars, key=lambda usable: abs(math.log(usable / DEFAULT_FAR)))  # nearest to that of `rim verify`
    yield f"  the same at {near} px and FAR {far:g} where pictures are pooled into templates:"
    yield "  probes   " + "".join(f"gallery {count:<5}" for count in calibration.counts)
    for probes in calibration.counts:
        rates = [calibration.operating_point(near, far, probes, gallery).frr for gallery in calibration.counts]
        yield f"  {probes:>3}      " + "".join(f"{in_percent(rate):<13}" for rate in rates)
