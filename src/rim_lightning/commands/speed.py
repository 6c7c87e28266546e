"""rim_lightning.commands.speed."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.speed.report import plot, table
from rim_lightning.speed.rows import expand, measure_all


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="speed")
def _hydra_main(cfg: DictConfig) -> None:
    folder = Path(cfg.paths.output_dir)
    try:
        rows = expand(cfg.rows, cfg.common)
        if not rows:
            raise ValueError("rows is empty; give one list of settings or more.")
        entries = measure_all(rows, folder, cfg.steps, cfg.epochs)
    except (OSError, ValueError) as error:
        sys.exit(f"rim-speed: {error}")
    text = table(entries)
    (folder / "speed.md").write_text(text)
    print(text)
    print(f"Table: {folder / 'speed.md'} and speed.json")
    if plot(folder / "scaling.png", entries):
        print(f"Scaling: {folder / 'scaling.png'}")


def main() -> None:
    """Entry point of the `rim-speed` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
