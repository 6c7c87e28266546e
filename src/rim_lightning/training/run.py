"""One training run: prepare what is missing, train RIM through its stages, measure it, leave a report."""

import json
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from rim_lightning.data.sources import Source, prepare_missing
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.distributed import leave
from rim_lightning.evaluation.plan import evaluation_plan
from rim_lightning.evaluation.report import write_metrics
from rim_lightning.evaluation.run import check_evaluation, evaluate
from rim_lightning.files import write_json_once
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.runs.signals import Interrupted
from rim_lightning.runs.state import recorded
from rim_lightning.training.budget import batches_per_epoch, one_epoch_each
from rim_lightning.training.callbacks.wandb_tracking import log_results
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.teacher import train_teacher


def run(cfg: DictConfig) -> dict[str, float]:
    """One training run as `conf/train.yaml` describes it; `state.json` in its directory says what became of it.

    Returns:
        the figures of `metrics.json`; of `measure` where the run is evaluated, else those of the last validation.

    Raises:
        FileNotFoundError, ValueError: wrong settings or data, in one sentence. NonFiniteLoss: training diverged.
    """
    output = Path(cfg.paths.output_dir)
    last = output / "checkpoints" / "last.ckpt"
    if last.is_file() and not cfg.resume and rank_zero_only.rank == 0:
        raise ValueError(f"{output} holds a run already: add resume=true to go on with it, or set hydra.run.dir.")
    if rank_zero_only.rank != 0:
        return _run(cfg, output, last)
    with recorded(output, (KeyboardInterrupt, SystemExit, Interrupted)):
        return _run(cfg, output, last)


def _run(cfg: DictConfig, output: Path, last: Path) -> dict[str, float]:
    if str(cfg.trainer.precision).startswith("16"):
        raise ValueError(
            f"trainer.precision={cfg.trainer.precision} needs a loss scaler, which does not go with clipping and "
            "several optimizers here: use bf16-mixed or 32-true."
        )
    OmegaConf.save(cfg, output / "config.yaml", resolve=True)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    loggers = [instantiate(logger) for logger in cfg.logger.values()]
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        max_epochs=sum(stage.epochs for stage in cfg.stages),
        callbacks=[instantiate(callback) for callback in cfg.callbacks.values()],
        logger=loggers,
        default_root_dir=str(output),
        enable_model_summary=False,
    )
    data = instantiate(cfg.data)
    stores = {name: str(path) for name, path in data.stores.items()}
    if rank_zero_only.rank == 0:
        prepare_missing(configured_sources(cfg), cfg.paths.prepared_dir, cfg.model.hr_size, cfg.workers)
        data.prepare_data()
    else:
        for path in data.stores.values():
            _wait_for(path / MANIFEST)
    if cfg.evaluate:
        plan = evaluation_plan(OmegaConf.to_container(cfg.evaluation, resolve=True))
        check_evaluation(plan, stores, cfg.model.hr_size)
    teacher_weights = OmegaConf.to_container(cfg.teacher.weights, resolve=True) if cfg.teacher.weights else None
    if cfg.teacher.epochs:
        path = output / "teacher.pt"
        if rank_zero_only.rank != 0:
            _wait_for(path)
        elif not (cfg.resume and path.is_file()):
            backbone = OmegaConf.to_container(cfg.model.recognition.teacher, resolve=True)
            logged = train_teacher(
                data,
                backbone,
                path,
                accelerator=cfg.trainer.accelerator,
                verification_pairs=cfg.verification_pairs,
                **{key: value for key, value in cfg.teacher.items() if key != "weights"},
            )
            (output / "teacher.json").write_text(json.dumps(logged, indent=2) + "\n")
        teacher_weights = {"weight_format": "rim_lightning", "path": str(path)}
    if cfg.budget:
        cfg.data.samples_per_epoch = _faces_within_budget(cfg, Path(cfg.budget_file), teacher_weights)
        OmegaConf.save(cfg, output / "config.yaml", resolve=True)
        data = instantiate(cfg.data)
    module = build_module(cfg, teacher_weights, data)
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    trainer.fit(module, data, ckpt_path=str(last) if cfg.resume and last.is_file() else None, weights_only=True)
    found = dict(trainer.callback_metrics)
    validated = not trainer.max_epochs % (trainer.check_val_every_n_epoch or 1)
    if not (cfg.evaluate or trainer.fast_dev_run or (validated and any(name.startswith("val/") for name in found))):
        # The last epoch has no validation, or was killed in it and then had nothing left to fit.
        weights = str(last) if last.is_file() else None  # the trained ones, if nothing is kept
        for figures in trainer.validate(module, data, ckpt_path=weights, weights_only=True, verbose=False):
            found |= figures
    leave()  # the first process measures alone: metrics would wait for the others
    if not cfg.evaluate or not trainer.is_global_zero or trainer.fast_dev_run:
        figures = {name: float(value) for name, value in found.items()}
        if trainer.is_global_zero:
            write_metrics(output / "metrics.json", figures)
        return figures
    rim = load_rim(str(last)).to(trainer.strategy.root_device)
    figures = evaluate(
        rim,
        plan,
        stores,
        prepared_dir=Path(cfg.paths.prepared_dir),
        folder=output,
        title=f"RIM: {cfg.name}",
        workers=cfg.workers,
        curves=output / "csv",
    )
    for logger in loggers:
        logger.log_metrics(figures, step=trainer.fit_loop.total_batch_idx)
        logger.save()
    log_results(trainer, output)
    print((output / "report.md").read_text())
    print(f"Report: {output / 'report.md'}")
    return figures


def configured_sources(cfg: DictConfig) -> list[Source]:
    """List the data sets of `sources` in a configuration.

    Raises:
        MissingMandatoryValue: If a required setting of a source is missing.
    """
    sources = OmegaConf.to_container(cfg.sources, resolve=True, throw_on_missing=True)
    return [
        Source(source["name"], instantiate(source["reader"], _partial_=True, _convert_="all"))
        for source in sources.values()
    ]


def build_module(cfg: DictConfig, teacher_weights: dict | None, data: FaceDataModule | None = None) -> PhasedModule:
    """The LightningModule of a configuration; OmegaConf stops here. `data` tells systems that learn people how many."""
    known = {"teacher_weights": teacher_weights, "people": 0 if data is None else data.people()}
    wanted = {name: value for name, value in known.items() if name in cfg.system}
    module: PhasedModule = instantiate(cfg.system, _convert_="all", **wanted)
    if cfg.channels_last:
        module.to(memory_format=torch.channels_last)
    if module.architecture != "rim" and (cfg.compile or cfg.evaluate):
        raise ValueError(
            f"compile and evaluate are for RIM; this system is a {module.architecture}: set both to false, rim-compare "
            "measures it."
        )
    if cfg.compile:
        module.rim.compile_networks()
    return module


def _faces_within_budget(cfg: DictConfig, file: Path, teacher_weights: dict | None) -> int:
    """Faces an epoch; measured once, so that a resumed run, and all runs that share the file, have the same epochs.

    Raises:
        ValueError: several processes, or a file that was measured for another budget.
    """
    if cfg.trainer.devices != 1 or cfg.trainer.get("num_nodes", 1) != 1:
        raise ValueError("budget is measured in one process: set trainer.devices=1, or data.samples_per_epoch instead.")
    if not file.is_file():
        short = one_epoch_each(cfg)
        data = instantiate(short.data)
        batches = batches_per_epoch(short, cfg, build_module(short, teacher_weights, data), data)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_once(file, {"minutes": cfg.budget, "samples_per_epoch": batches * cfg.data.batch_size})
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
    found = json.loads(file.read_text())
    if found["minutes"] != cfg.budget:
        raise ValueError(f"{file} was measured for budget={found['minutes']}: give that, or another paths.output_dir.")
    return found["samples_per_epoch"]


def _wait_for(path: Path) -> None:
    """Return once the first process has written the file; it is written whole, under another name first."""
    while not path.is_file():
        time.sleep(1)
