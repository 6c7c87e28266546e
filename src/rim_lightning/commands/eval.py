"""rim-eval: measure a trained checkpoint on image sets and pair lists."""

import sys
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from rim_lightning.commands.config_path import CONF_DIR


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure `checkpoint` as `conf/eval.yaml` says; writes metrics.json and report.md into `paths.output_dir`.

    Raises:
        FileNotFoundError, ValueError: wrong settings, data or checkpoint, in one sentence.
    """
    from rim_lightning.evaluation.run import measure
    from rim_lightning.networks.checkpoints import load_rim

    if str(cfg.device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {cfg.device}, but torch finds no GPU here: set device=cpu.")
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    output = Path(cfg.paths.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    rim = load_rim(cfg.checkpoint).to(cfg.device)
    settings = OmegaConf.to_container(cfg.evaluation, resolve=True, throw_on_missing=True)
    stores = OmegaConf.to_container(cfg.stores, resolve=True)
    OmegaConf.save(cfg, output / "config.yaml", resolve=True)
    figures = measure(
        rim,
        output,
        f"RIM: {cfg.checkpoint}",
        {name: path.format(hr_size=rim.hr_size) for name, path in stores.items()},
        Path(cfg.paths.prepared_dir),
        workers=cfg.workers,
        curves=Path(cfg.checkpoint).resolve().parents[1] / "csv",
        **settings,
    )
    print((output / "report.md").read_text())
    print(f"Report: {output / 'report.md'}")
    return figures


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="eval")
def _hydra_main(cfg: DictConfig) -> None:
    try:
        run(cfg)
    except MissingMandatoryValue as error:
        sys.exit(f"rim-eval: {error.full_key} is not set; add {error.full_key}=<value> to the command.")
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"rim-eval: {error}")


def main() -> None:
    """Entry point of the `rim-eval` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
