"""One training run: prepare missing data, train through the stages, evaluate, write a report."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from rim_lightning import __version__
from rim_lightning.data.sources import Source, prepare_missing
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.datamodules.synthetic import SyntheticDataModule
from rim_lightning.distributed import leave_process_group
from rim_lightning.evaluation.plan import EvaluationPlan, evaluation_plan
from rim_lightning.evaluation.report import write_metrics
from rim_lightning.evaluation.run import check_evaluation, check_evaluation_files, evaluate, refuse_nothing
from rim_lightning.files import (
    check_writable,
    file_digest,
    whole_file,
    without_folders,
    write_json,
    write_json_once,
)
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.teacher_weights import load_backbone, load_onnx
from rim_lightning.networks.tiny_weights import flush_tiny_weights
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import START_SETTINGS, Origin, read_origin
from rim_lightning.runs.progress import StepCounter, say
from rim_lightning.runs.records import BudgetRecord, read_figures, read_record
from rim_lightning.runs.signals import Interrupted, stopped_by_signals
from rim_lightning.runs.state import record_run
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.training.budget import (
    COUNTED_FACES,
    LIMITS,
    batches_per_epoch,
    count_work,
    faces_of_work,
    one_epoch_each,
    whole_batches,
)
from rim_lightning.training.callbacks.wandb_tracking import log_results, start_wandb
from rim_lightning.training.csv_logger import StageCSVLogger
from rim_lightning.training.kept_teacher import TeacherRequest, provide_teacher
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.rank import is_first_process
from rim_lightning.training.ranks import Ranks, check_visible, watched
from rim_lightning.training.rehearsal import rehearse
from rim_lightning.training.resume import differences, digests_of_files, read_progress, refusal
from rim_lightning.training.rim_module import RIMModule
from rim_lightning.training.settings import plain
from rim_lightning.training.teacher import build_teacher, train_teacher

SEVERAL_PROCESSES = "ddp_find_unused_parameters_true"
"""Strategy of several processes, as in `conf/trainer/ddp.yaml`: the phases use different parameters in turn."""


def train(cfg: DictConfig, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Carry out one training run. `state.json` in its folder records how it ended.

    Args:
        cfg: A configuration as `conf/train.yaml` describes it.
        overrides: Settings of the command that made the configuration, for a later command that resumes the run.

    Returns:
        The figures of `metrics.json`: those of the evaluation or, without one, of the last validation.

    Raises:
        FileNotFoundError: If data or weights are missing.
        ValueError: If a setting is wrong.
        NonFiniteLoss: If the training diverged.
        Interrupted: If a signal stopped it.
    """
    folder = RunFolder(Path(cfg.paths.output_dir))
    ranks = Ranks()
    with ranks.failure_told():
        return _train(cfg, folder, ranks, overrides)


def _train(cfg: DictConfig, folder: RunFolder, ranks: Ranks, overrides: Sequence[str]) -> dict[str, float]:
    """Carry out one training run on this process, see `train`."""
    first, resumes = is_first_process(), folder.holds_work()
    if first:
        check_writable(folder.state, "hydra.run.dir")
        _check_folder(cfg, folder)
        if resumes:
            _check_settings(cfg)  # a refused command leaves the state of the run as it is
    interruptions = (KeyboardInterrupt, SystemExit, Interrupted)
    # `LastCheckpoint` handles the signals between the first and the last batch.
    with (
        stopped_by_signals(f"`{folder.resume_command}` resumes the run"),
        record_run(folder.path, interruptions) if first else nullcontext(),
    ):
        if first and not resumes:
            _check_settings(cfg)
        if cfg.threads:
            torch.set_num_threads(cfg.threads)
        if cfg.faces:
            cfg.data.samples_per_epoch = _faces_of_an_epoch(cfg)
        trainer = build_trainer(cfg)
        if first:
            start_wandb(trainer.loggers, ask=sys.stdin.isatty())
            _save_configuration(cfg, folder)
            _record_origin(cfg, instantiate(cfg.data), folder, overrides)  # it may be stopped while it prepares faces
        steps = StepCounter(_step_titles(cfg), silent=not first)
        steps.begin("prepare")
        ranks.wait_for_first()
        data = _prepare(cfg)
        if first:
            _record_origin(cfg, data, folder, overrides)
        if cfg.teacher.epochs:
            steps.begin("teacher")
        teacher_weights = _teacher_weights(cfg, data, folder)
        if cfg.budget or cfg.work:
            steps.begin("budget")
            cfg.data.samples_per_epoch = _faces_within_budget(cfg, teacher_weights)
            _save_configuration(cfg, folder)  # a budget is for a single process
            data = instantiate(cfg.data)
        # Here, not before the teacher: a resumed run skips what comes before, and has the same weights all the same.
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        steps.begin("train")
        module = build_module(cfg, teacher_weights, data)
        ranks.all_ready()
        with watched(trainer):
            logged = _fit(cfg, trainer, module, data, folder)
        return _finish(cfg, trainer, data, folder, logged, steps)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _step_titles(cfg: DictConfig) -> dict[str, str]:
    """Return the steps of a run that its configuration asks for: name -> title."""
    stages = ", ".join(f"{stage.name} for {_epochs(stage.epochs)}" for stage in cfg.schedule.stages)
    titles = {"prepare": "prepare the faces"}
    if cfg.teacher.epochs:
        titles["teacher"] = f"train the teacher for {_epochs(cfg.teacher.epochs)}"
    if cfg.budget:
        titles["budget"] = f"time a few batches for a budget of {cfg.budget} minutes"
    if cfg.work:
        titles["budget"] = f"count the arithmetic of a few batches for a work of {cfg.work} TFLOP"
    titles["train"] = f"train {stages}"
    if cfg.evaluate and not cfg.trainer.fast_dev_run:
        titles["measure"] = "measure the trained network"
        titles["report"] = "write the report"
    return titles


def build_trainer(cfg: DictConfig) -> pl.Trainer:
    """Build the trainer of a configuration with its loggers and callbacks.

    Raises:
        ValueError: If Lightning refuses a setting, for example a GPU where there is none.
    """
    for group in ("logger", "callbacks"):
        for name, settings in cfg[group].items():
            if settings is not None and "_target_" not in settings:
                raise ValueError(f"{group}.{name} has no _target_, the class that it is: name one, or leave it out.")
    loggers = [instantiate(logger) for logger in cfg.logger.values()]
    several = _processes(cfg) > 1 and "strategy" not in cfg.trainer
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values()]
    try:
        trainer: pl.Trainer = instantiate(
            cfg.trainer,
            **({"strategy": SEVERAL_PROCESSES} if several else {}),
            max_epochs=sum(stage.epochs for stage in cfg.schedule.stages),
            callbacks=callbacks,
            logger=loggers,
            default_root_dir=str(cfg.paths.output_dir),
            enable_model_summary=False,
        )
    except InstantiationException as error:
        if isinstance(error.__cause__, TypeError):  # an argument that the trainer does not have
            raise
        settings = ", ".join(f"{name}={cfg.trainer[name]}" for name in ("accelerator", "devices", "precision"))
        reason = str(error.__cause__ or error).strip().partition("\n")[0].rstrip(".!")
        raise ValueError(
            f"trainer: Lightning refuses these settings, among them {settings} ({reason}): correct them; without a GPU "
            "choose trainer=cpu."
        ) from error
    return trainer


def build_module(
    cfg: DictConfig, teacher_weights: Mapping[str, Any] | None, data: FaceDataModule | None = None
) -> PhasedModule:
    """Build the training module of a configuration. The module receives plain containers, no OmegaConf objects.

    Args:
        cfg: The configuration.
        teacher_weights: {"weight_format", "path"}, or None for random weights.
        data: Training data, for systems that must know the number of people.

    Raises:
        ValueError: If the system cannot be compiled or evaluated.
    """
    module = _instantiate_system(cfg, 0 if data is None else data.people(), teacher_weights=teacher_weights)
    if cfg.channels_last:
        module.to(memory_format=torch.channels_last)
    _check_extras(cfg, module)
    if cfg.compile and isinstance(module, RIMModule):
        module.rim.compile_networks()
    return module


def _instantiate_system(cfg: DictConfig, people: int, **files: Any) -> PhasedModule:
    """Build a training module. `files` replaces settings of the system that name files, where it has them."""
    available = {"people": people, **files}
    arguments = {name: value for name, value in available.items() if name in cfg.system}
    system = _with_graph(cfg.system, files.get("teacher_weights"))
    module: PhasedModule = instantiate(system, _convert_="all", **arguments)
    return module


def _with_graph(system: DictConfig, weights: Mapping[str, Any] | None) -> DictConfig:
    """Return the settings of a system, whose frozen teacher is the graph of the file if that is of the format onnx.

    Student, assistant and learner stay what the settings say.
    """
    if weights is None or weights["weight_format"] != "onnx":
        return system
    settings = plain(system)
    teacher = load_onnx(**{name: value for name, value in weights.items() if name != "weight_format"})
    network = {"name": "onnx", **teacher.arguments}
    if "model" in settings:
        settings["model"]["recognition"]["teacher"] = network
    elif settings.get("recognizer", {}).get("guide") is not None:
        settings["recognizer"]["guide"] = network
    return OmegaConf.create(settings)


def configured_sources(cfg: DictConfig) -> list[Source]:
    """List the data sets of `sources` in a configuration.

    Raises:
        MissingMandatoryValue: If a required setting of a source is missing.
    """
    sources = plain(cfg.sources, throw_on_missing=True)
    return [
        Source(source["name"], instantiate(source["reader"], _partial_=True, _convert_="all"))
        for source in sources.values()
    ]


def _check_settings(cfg: DictConfig) -> None:
    """Refuse settings that do not go together, and files that are missing, before any work."""
    weights = None if cfg.teacher.epochs else cfg.teacher.weights
    module = check_together(cfg, teacher_weights=plain(weights) if weights else None)
    _check_figures(cfg, module)
    _check_sources(cfg)
    _check_places(cfg)
    if cfg.evaluate:
        check_evaluation_files(_evaluation(cfg))


def check_together(cfg: DictConfig, **files: Any) -> PhasedModule:
    """Refuse settings that do not go together.

    Args:
        cfg: A configuration as `conf/train.yaml` describes it. Its folder and its files need not exist.
        **files: Values of the settings of the system that name files: `teacher_weights`, `start_from`, `students_from`.

    Returns:
        The training module, without weights.

    Raises:
        ValueError: If settings do not go together.
    """
    if str(cfg.trainer.precision).startswith("16"):
        raise ValueError(
            f"trainer.precision={cfg.trainer.precision} needs a loss scaler, which does not go with clipping and "
            "several optimizers here: use bf16-mixed or 32-true."
        )
    given = [name for name in LIMITS if cfg[name]]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are given, and each decides the number of training faces: keep one.")
    if cfg.faces:
        _faces_of_an_epoch(cfg)  # raises if they are too few
    _check_data(cfg)
    for name, points in cfg.model.schemes.items():
        if name not in LANDMARK_SCHEMES or points != LANDMARK_SCHEMES[name].points:
            known = ", ".join(f"{scheme.name}: {scheme.points}" for scheme in LANDMARK_SCHEMES.values())
            raise ValueError(f"model.schemes.{name} is {points}; schemes and their numbers of points are {known}.")
    hr_size, probes = cfg.model.hr_size, cfg.probes
    if not 1 <= probes.low <= probes.high:
        raise ValueError(f"probes.low is {probes.low} and probes.high {probes.high}: low must not be larger.")
    for name in ("nominal", "high"):
        if probes[name] > hr_size:
            raise ValueError(
                f"probes.{name} is {probes[name]} px, larger than the face of model.hr_size={hr_size}: make it smaller."
            )
    module = rehearse(partial(_instantiate_system, cfg, people=2, **files), hr_size)
    if cfg.teacher.epochs:
        loss = {name: cfg.teacher[name] for name in ("kind", "margin", "scale")}
        with torch.device("meta"):
            build_teacher(plain(cfg.model.recognition.teacher), people=2, **loss)
    _check_extras(cfg, module)
    if cfg.evaluate:
        for size in cfg.evaluation.probe_sizes:
            if size > hr_size:
                raise ValueError(
                    f"evaluation.probe_sizes has {size} px, larger than the face of model.hr_size={hr_size}: leave it "
                    "out."
                )
    return module


def _check_data(cfg: DictConfig) -> None:
    """Refuse data that are no training set, and augmentation that cannot be made."""
    if not issubclass(get_class(cfg.data._target_), FaceDataModule):
        raise ValueError(
            f"data: {cfg.data._target_.rpartition('.')[2]} holds pairs for a test, nothing to train on: choose "
            "data=real, helen, celeba or synthetic; rim-eval and rim-compare measure on LFW and Helen."
        )
    augmentation = instantiate(cfg.data).augmentation
    if augmentation is not None:
        augmentation(cfg.model.hr_size)  # raises for wrong arguments; the training would do so after the teacher


def _check_sources(cfg: DictConfig) -> None:
    """Refuse sources whose files are missing."""
    for name, source in plain(cfg.sources, throw_on_missing=True).items():
        for key in ("root", "landmarks", "splits"):
            path = source["reader"].get(key)
            if path is not None and not Path(path).exists():
                raise FileNotFoundError(f"There is no {path}: set sources.{name}.reader.{key}, or paths.data_dir.")


def _check_places(cfg: DictConfig) -> None:
    """Refuse folders that the run will have to write to and cannot."""
    prepared = Path(cfg.paths.prepared_dir)
    stores = [prepared / f"{source.name}_{cfg.model.hr_size}" for source in cfg.sources.values()]
    if issubclass(get_class(cfg.data._target_), SyntheticDataModule):
        stores += instantiate(cfg.data).stores.values()
    if not all((store / MANIFEST).is_file() for store in stores):
        check_writable(prepared / "store", "paths.prepared_dir")
    if cfg.teacher.epochs and not cfg.trainer.fast_dev_run:
        check_writable(Path(cfg.paths.teachers_dir) / "teacher", "paths.teachers_dir")
    if cfg.budget or cfg.work:
        check_writable(cfg.paths.budget_file, "paths.budget_file")


def _check_figures(cfg: DictConfig, module: PhasedModule) -> None:
    """Refuse a figure that is monitored or optimized and that no run of this system logs."""
    for name, callback in cfg.callbacks.items():
        monitor = None if callback is None else callback.get("monitor")
        if monitor is not None and not module.logs(monitor):
            raise ValueError(
                f'callbacks.{name}.monitor is "{monitor}", which this system does not log; choose from '
                f"{', '.join(module.validated)}."
            )
    metrics = cfg.optimized_metric or []
    for metric in [metrics] if isinstance(metrics, str) else metrics:
        measured = cfg.evaluate and metric.startswith(("sr/", "verification/"))
        if not measured and not module.logs(metric):
            evaluated = ", or a figure of the evaluation (sr/… or verification/…)" if cfg.evaluate else ""
            raise ValueError(
                f'optimized_metric is "{metric}", which no run of this system has; choose from '
                f"{', '.join(module.validated)}{evaluated}."
            )


def _check_extras(cfg: DictConfig, module: PhasedModule) -> None:
    if module.architecture != "rim" and (cfg.compile or cfg.evaluate):
        raise ValueError(
            f"compile and evaluate are for RIM; this system is a {module.architecture}: set both to false, rim-compare "
            "measures it."
        )


def _check_folder(cfg: DictConfig, folder: RunFolder) -> None:
    """Refuse to write over a run, or to resume it with settings that are not its own. Nothing is written before."""
    if not folder.holds_work():
        return
    if not cfg.resume:
        raise ValueError(f"{folder.path} holds a run already: add resume=true to resume it, or set hydra.run.dir.")
    if (cfg.budget or cfg.work) and Path(cfg.paths.budget_file).is_file():
        _measured_faces(cfg)
    if cfg.faces:
        cfg.data.samples_per_epoch = _faces_of_an_epoch(cfg)
    if folder.config.is_file():
        settings: Any = OmegaConf.to_container(OmegaConf.load(folder.config))
        if not isinstance(settings, dict) or "system" not in settings:
            raise ValueError(
                f"{folder.config} is damaged: it is not the configuration of a run. Restore it from a copy, or start a "
                "new run."
            )
        refused = differences(settings, plain(cfg), read_progress(folder))
        if refused:
            raise ValueError(refusal(folder.path, refused))
    origin = read_origin(folder)
    if origin is not None:
        _origin(cfg, instantiate(cfg.data), ()).check(origin, folder)


def _record_origin(cfg: DictConfig, data: FaceDataModule, folder: RunFolder, overrides: Sequence[str]) -> None:
    """Record how the run was started. The sets may have been prepared since the folder was checked."""
    origin = _origin(cfg, data, overrides)
    start = read_origin(folder) if cfg.resume and folder.holds_work() else None
    if start is None:
        origin.write(folder)
    else:
        origin.check(start, folder)
        start._replace(overrides=overrides or start.overrides).write(folder)


def _origin(cfg: DictConfig, data: FaceDataModule, overrides: Sequence[str]) -> Origin:
    manifests = {name: Path(path) / MANIFEST for name, path in data.stores.items()}
    stores = {name: file_digest(file) for name, file in manifests.items() if file.is_file()}
    return Origin(list(overrides), __version__, _processes(cfg), stores, digests_of_files(plain(cfg)))


def _processes(cfg: DictConfig) -> int:
    """Return the number of processes that the trainer uses."""
    devices, accelerator = cfg.trainer.devices, cfg.trainer.accelerator
    if str(devices) in ("auto", "-1"):
        count = torch.cuda.device_count() if accelerator != "cpu" and torch.cuda.is_available() else 1
    else:
        count = int(devices) if isinstance(devices, int | str) else len(devices)
    return count * int(cfg.trainer.get("num_nodes", 1))


def _save_configuration(cfg: DictConfig, folder: RunFolder) -> None:
    with whole_file(folder.config) as part:
        OmegaConf.save(cfg, part, resolve=True)


def _prepare(cfg: DictConfig) -> FaceDataModule:
    """Prepare the missing data sets, on the first process alone, and check that the evaluation can be carried out."""
    data: FaceDataModule = instantiate(cfg.data)
    if is_first_process():
        prepare_missing(configured_sources(cfg), cfg.paths.prepared_dir, cfg.model.hr_size, cfg.workers)
        data.prepare_data()
    else:
        for path in data.stores.values():
            check_visible(Path(path) / MANIFEST, "paths.prepared_dir")
    if cfg.evaluate:
        refuse_nothing(_evaluation(cfg))
        check_evaluation(_evaluation(cfg), _stores(data), cfg.model.hr_size)
    return data


def _teacher_weights(cfg: DictConfig, data: FaceDataModule, folder: RunFolder) -> dict[str, Any] | None:
    """Return the file of the teacher's weights, or None for random ones. Train the teacher if `teacher.epochs` > 0."""
    if not cfg.teacher.epochs:
        return plain(cfg.teacher.weights) if cfg.teacher.weights else None
    path = folder.trial_teacher if cfg.trainer.fast_dev_run else folder.teacher
    if not is_first_process():
        check_visible(path, "hydra.run.dir")
    elif cfg.trainer.fast_dev_run:
        settings = {"verification_pairs": cfg.evaluation.verification_pairs, **teacher_settings(cfg)}
        backbone = plain(cfg.model.recognition.teacher)
        accelerator, trial = cfg.trainer.accelerator, cfg.trainer.fast_dev_run
        train_teacher(data, backbone, path, accelerator=accelerator, seed=cfg.seed, fast_dev_run=trial, **settings)
    elif not (cfg.resume and _holds_teacher(path)):
        figures = provide_teacher(data, teacher_request(cfg), path, Path(cfg.paths.teachers_dir))
        write_json(folder.teacher_metrics, figures)
    return {"weight_format": "rim_lightning", "path": str(path)}


def _holds_teacher(path: Path) -> bool:
    """Return True if a file holds a whole teacher. Say so if it is damaged; it is then made anew, bit for bit alike."""
    try:
        load_backbone(path)
    except FileNotFoundError:
        return False
    except ValueError:
        say(f"{path} is damaged: the teacher is made anew.")
        return False
    return True


def teacher_request(cfg: DictConfig) -> TeacherRequest:
    """Return what decides the weights of a teacher that is trained from scratch."""
    where = ("directory", "stores", "workers", "eval_batch_size")
    return TeacherRequest(
        backbone=plain(cfg.model.recognition.teacher),
        training=teacher_settings(cfg),
        faces={name: value for name, value in plain(cfg.data).items() if name not in where},
        accelerator=cfg.trainer.accelerator,
        verification_pairs=cfg.evaluation.verification_pairs,
        seed=cfg.seed,
    )


def teacher_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings of a teacher that is trained from scratch, as `train_teacher` takes them."""
    settings = plain(cfg.teacher)
    return {name: value for name, value in settings.items() if name not in ("weights", "start_students")}


def _faces_of_an_epoch(cfg: DictConfig) -> int:
    """Return the number of faces per epoch with which the run has `cfg.faces` in all."""
    return whole_batches(
        cfg.faces, sum(stage.epochs for stage in cfg.schedule.stages), cfg.data.batch_size * _processes(cfg)
    )


def _faces_within_budget(cfg: DictConfig, teacher_weights: Mapping[str, Any] | None) -> int:
    """Return the number of faces per epoch with which the run keeps its budget of minutes or of work.

    It is measured once: a resumed run, and all runs that share `paths.budget_file`, have the same epochs.

    Raises:
        ValueError: If there are several processes, or the file was measured for another budget.
    """
    if cfg.trainer.devices != 1 or cfg.trainer.get("num_nodes", 1) != 1:
        raise ValueError(
            f"{'budget' if cfg.budget else 'work'} needs a single process: set trainer.devices=1 and "
            "trainer.num_nodes=1, or give faces=<number> instead."
        )
    file = Path(cfg.paths.budget_file)
    if not file.is_file():
        record: dict[str, Any]
        if cfg.budget:
            timing_cfg = one_epoch_each(cfg)
            data = instantiate(timing_cfg.data)
            batches = batches_per_epoch(timing_cfg, cfg, build_module(timing_cfg, teacher_weights, data), data)
            record = {"minutes": cfg.budget, "samples_per_epoch": batches * cfg.data.batch_size}
        else:
            gflop = work_per_face(cfg, teacher_weights)
            record = {"work": cfg.work, "samples_per_epoch": faces_of_work(cfg, gflop), "gflop_per_face": gflop}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_once(file, record)
    return _measured_faces(cfg)


def work_per_face(cfg: DictConfig, teacher_weights: Mapping[str, Any] | None) -> dict[str, float]:
    """Count the arithmetic of one training face in each stage of a run, see `count_work`.

    Args:
        cfg: The configuration of the run.
        teacher_weights: {"weight_format", "path"}, or None for random weights.

    Returns:
        Training stage -> GFLOP per face.
    """
    counting_cfg = one_epoch_each(cfg, COUNTED_FACES)
    # Uncompiled, by one process on the CPU, and without a network to start from: the count is the same.
    counting_cfg.trainer.accelerator, counting_cfg.trainer.devices = "cpu", 1
    counting_cfg.compile, counting_cfg.data.workers = False, 0
    counting_cfg.probes.degradation, counting_cfg.probes.misalignment = "bicubic", None  # blur would count
    for group in ("schedule", "probes"):  # in the configuration of a run they are two copies
        counting_cfg.system[group] = counting_cfg[group]
    for name in START_SETTINGS:
        if counting_cfg.system.get(name):
            counting_cfg.system[name] = None
    data = instantiate(counting_cfg.data)
    return count_work(counting_cfg, build_module(counting_cfg, teacher_weights, data), data)


def _measured_faces(cfg: DictConfig) -> int:
    """Return the number of faces per epoch in the file of the budget, if it was measured for this budget."""
    file = Path(cfg.paths.budget_file)
    record = read_record(file, BudgetRecord)
    given = ("budget", cfg.budget) if cfg.budget else ("work", cfg.work)
    measured = ("work", record.work) if record.minutes is None else ("budget", record.minutes)
    if measured != given:
        setting, now = (f"{name}={value}" for name, value in (measured, given))
        raise ValueError(f"{file} was measured for {setting}, not {now}: set {setting}, or another paths.budget_file.")
    return record.samples_per_epoch


def _fit(
    cfg: DictConfig, trainer: pl.Trainer, module: PhasedModule, data: FaceDataModule, folder: RunFolder
) -> dict[str, Any]:
    """Train, and validate at the end if the last epoch had no validation. Return the last logged figures."""
    settings = without_folders({name: value for name, value in plain(cfg).items() if name not in ("paths", "logger")})
    for logger in trainer.loggers:
        logger.log_hyperparams(settings)
    last = folder.last_checkpoint
    checkpoint = str(last) if cfg.resume and last.is_file() else None
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    logged: dict[str, Any] = dict(trainer.callback_metrics)
    validated = not (trainer.max_epochs or 0) % (trainer.check_val_every_n_epoch or 1)
    if not (
        cfg.evaluate or cfg.trainer.fast_dev_run or (validated and any(name.startswith("val/") for name in logged))
    ):
        # Nothing was validated after the last epoch: it was not due, or a kill interrupted it and the resumed run had
        # no batch left.
        for figures in trainer.validate(module, data, verbose=False):
            logged |= figures
    return logged


def _finish(
    cfg: DictConfig,
    trainer: pl.Trainer,
    data: FaceDataModule,
    folder: RunFolder,
    logged: Mapping[str, Any],
    steps: StepCounter,
) -> dict[str, float]:
    """Evaluate the trained network and write metrics and report; without an evaluation write the logged figures."""
    # Evaluation runs on the first process alone; inside the group, metrics would wait for the others.
    leave_process_group()
    if not cfg.evaluate or not trainer.is_global_zero or cfg.trainer.fast_dev_run:
        figures = {name: float(value) for name, value in logged.items()}
        if trainer.is_global_zero and not cfg.trainer.fast_dev_run:
            trained = any(name.startswith("train/") for name in figures)
            if not trained and folder.metrics.is_file():  # a finished run was resumed: its figures stay
                figures = {**read_figures(folder.metrics), **figures}
            write_metrics(folder.metrics, figures)
        return figures
    steps.begin("measure")
    rim = flush_tiny_weights(load_rim(str(folder.last_checkpoint))).to(trainer.strategy.root_device)
    figures = evaluate(
        rim,
        _evaluation(cfg),
        _stores(data),
        prepared_dir=Path(cfg.paths.prepared_dir),
        folder=folder.path,
        title=f"RIM: {cfg.name}",
        workers=cfg.workers,
        curves=folder.curves,
    )
    steps.begin("report")
    for logger in trainer.loggers:
        if not isinstance(logger, StageCSVLogger):  # its rows are those of the training; metrics.json has the figures
            logger.log_metrics(figures, step=trainer.fit_loop.total_batch_idx)
            logger.save()
    log_results(trainer, folder)
    say(*folder.report.read_text(encoding="utf-8").splitlines())
    report = folder.report.absolute()  # W&B keeps what is printed
    here = report.is_relative_to(Path.cwd())
    say(f"Report: {report.relative_to(Path.cwd()) if here else without_folders(str(report))}")
    return figures


def _evaluation(cfg: DictConfig) -> EvaluationPlan:
    return evaluation_plan(plain(cfg.evaluation))


def _stores(data: FaceDataModule) -> dict[str, str]:
    return {name: str(path) for name, path in data.stores.items()}
