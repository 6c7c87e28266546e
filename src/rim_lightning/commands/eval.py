"""rim-eval: measure a trained checkpoint on image sets and pair lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.hydra_command import hydra_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure `checkpoint` as `conf/eval.yaml` says and write metrics.json and report.md into `paths.output_dir`.

    Returns:
        The figures of metrics.json by name.

    Raises:
        OSError: If data or the checkpoint are missing.
        ValueError: If a setting is wrong.
    """
    import torch  # not at the top of the file: `--help` should not wait for it
    from omegaconf import OmegaConf

    from rim_lightning.evaluation.plan import evaluation_plan
    from rim_lightning.evaluation.run import evaluate
    from rim_lightning.networks.checkpoints import load_rim
    from rim_lightning.runs.folder import RunFolder, folder_of_checkpoint

    if str(cfg.device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {cfg.device}, but torch finds no GPU here: set device=cpu.")
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    output = RunFolder(Path(cfg.paths.output_dir))
    output.path.mkdir(parents=True, exist_ok=True)
    rim = load_rim(cfg.checkpoint).to(cfg.device)
    settings: Any = OmegaConf.to_container(cfg.evaluation, resolve=True, throw_on_missing=True)
    stores: Any = OmegaConf.to_container(cfg.stores, resolve=True)
    OmegaConf.save(cfg, output.config, resolve=True)
    figures = evaluate(
        rim,
        evaluation_plan(settings),
        {name: path.replace("{hr_size}", str(rim.hr_size)) for name, path in stores.items()},
        prepared_dir=Path(cfg.paths.prepared_dir),
        folder=output.path,
        title=f"RIM: {cfg.checkpoint}",
        workers=cfg.workers,
        curves=folder_of_checkpoint(cfg.checkpoint).curves,
    )
    print(output.report.read_text(encoding="utf-8"))
    print(f"Report: {output.report}")
    return figures


@hydra_command("rim-eval")
def main(cfg: DictConfig) -> None:
    """Measure a checkpoint."""
    run(cfg)


if __name__ == "__main__":
    main()
