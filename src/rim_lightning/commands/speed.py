"""rim-speed: measure how fast training is, from the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.hydra_command import hydra_command
from rim_lightning.files import write_text
from rim_lightning.runs.incomplete import Incomplete
from rim_lightning.runs.overrides import override

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra_command("rim-speed")
def main(cfg: DictConfig) -> None:
    """Measure every row of `conf/speed.yaml`, then write a table and, if a number was varied, a plot."""
    from rim_lightning.runs.progress import say  # not at the top of the file: `--help` should not wait for it
    from rim_lightning.runs.state import only_process
    from rim_lightning.speed.report import plot_scaling, speed_table
    from rim_lightning.speed.rows import expand, measure_all

    folder = Path(cfg.paths.output_dir)
    rows = expand(cfg.rows, cfg.common)
    if not rows:
        raise ValueError("rows is empty; give one list of settings or more.")
    with only_process(folder):
        entries = measure_all(rows, folder, cfg.steps, cfg.epochs)
        text = speed_table(entries)
        write_text(folder / "speed.md", text)
    say(*text.splitlines())
    say(f"Table: {folder / 'speed.md'} and speed.json")
    if plot_scaling(folder / "scaling.png", entries):
        say(f"Scaling: {folder / 'scaling.png'}")
    failed = sum("failed" in entry for entry in entries)
    if failed:
        raise Incomplete(
            f"{failed} of {len(entries)} rows could not be measured; {folder / 'speed.md'} names the reasons. Repeat "
            f"the command with {shlex.quote(override('hydra.run.dir', folder))} to measure them again.",
            nothing=failed == len(entries),
        )


if __name__ == "__main__":
    main()
