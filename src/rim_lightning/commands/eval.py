"""rim-eval: measure a trained checkpoint on image sets and pair lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.device import check_device
from rim_lightning.commands.hydra_command import hydra_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.runs.folder import RunFolder


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
    from rim_lightning.evaluation.run import check_evaluation, evaluate
    from rim_lightning.files import whole_file, write_json
    from rim_lightning.networks.checkpoints import load_rim
    from rim_lightning.networks.tiny_weights import flush_tiny_weights
    from rim_lightning.runs.folder import RunFolder, folder_of_checkpoint
    from rim_lightning.runs.progress import say
    from rim_lightning.runs.state import only_process

    check_device(str(cfg.device), "device=")
    output = RunFolder(Path(cfg.paths.output_dir))
    origin = _origin(cfg)
    _check_output(output, origin)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    rim = flush_tiny_weights(load_rim(cfg.checkpoint)).to(cfg.device)
    settings: Any = OmegaConf.to_container(cfg.evaluation, resolve=True, throw_on_missing=True)
    places: Any = OmegaConf.to_container(cfg.stores, resolve=True)
    stores = {name: path.replace("{hr_size}", str(rim.hr_size)) for name, path in places.items()}
    plan = evaluation_plan(settings)
    check_evaluation(plan, stores, rim.hr_size)
    with only_process(output.path):
        with whole_file(output.config) as part:
            OmegaConf.save(cfg, part, resolve=True)
        write_json(output.origin, origin)
        figures = evaluate(
            rim,
            plan,
            stores,
            prepared_dir=Path(cfg.paths.prepared_dir),
            folder=output.path,
            title=f"RIM: {cfg.checkpoint}",
            workers=cfg.workers,
            curves=folder_of_checkpoint(cfg.checkpoint).curves,
        )
    say(*output.report.read_text(encoding="utf-8").splitlines())
    say(f"Report: {output.report}")
    return figures


def _origin(cfg: DictConfig) -> dict[str, Any]:
    """Return what decides the figures: the content of the checkpoint and the settings, without where and how fast."""
    from omegaconf import OmegaConf

    from rim_lightning.files import file_digest

    settings: Any = OmegaConf.to_container(cfg.evaluation, resolve=True)
    checkpoint = Path(cfg.checkpoint)
    return {"checkpoint": file_digest(checkpoint) if checkpoint.is_file() else str(checkpoint), "evaluation": settings}


def _check_output(output: RunFolder, origin: dict[str, Any]) -> None:
    """Refuse a folder that holds other figures, or in which nothing can be written."""
    from rim_lightning.files import check_writable
    from rim_lightning.json_files import read_json

    check_writable(output.metrics, "hydra.run.dir")
    if output.metrics.is_file() and not (output.origin.is_file() and read_json(output.origin, dict) == origin):
        raise ValueError(
            f"{output.path} holds the figures of a training run or of another evaluation: choose another hydra.run.dir."
        )


@hydra_command("rim-eval")
def main(cfg: DictConfig) -> None:
    """Measure a checkpoint."""
    from omegaconf import OmegaConf

    from rim_lightning.evaluation.plan import evaluation_plan
    from rim_lightning.evaluation.run import refuse_nothing

    settings: Any = OmegaConf.to_container(cfg.evaluation, resolve=True, throw_on_missing=True)
    refuse_nothing(evaluation_plan(settings))
    run(cfg)


if __name__ == "__main__":
    main()
