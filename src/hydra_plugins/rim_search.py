"""Hydra's sweeper for a search: Optuna proposes jobs by the figures of earlier ones, the launcher runs them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rim_lightning.commands.errors import one_sentence
from rim_lightning.extras import require_extra
from rim_lightning.files import real_path, write_text
from rim_lightning.runs.incomplete import Incomplete
from rim_lightning.runs.progress import say

DIRECTIONS = ("maximize", "minimize")
RESULTS = "optimization_results.yaml"
"""File of a search with the best settings and their figure."""


class RimSearch(Sweeper):
    """Searches for the settings with the best figure.

    A search that is begun again in its folder asks for the same jobs again if its sampler is seeded, and the launcher
    returns what was reported of them. With `storage`, Optuna itself remembers the jobs.

    Args:
        sampler: Configuration of a sampler of Optuna.
        direction: "maximize" or "minimize", or one of them for each figure of `optimized_metric`.
        n_trials: Number of jobs in all.
        n_jobs: Number of jobs that are proposed and run at once.
        max_failure_rate: Largest share of failed jobs among those that ran at once; beyond it the search stops.
        storage: URL at which Optuna keeps the search, such as sqlite:///search.db; None for memory.
        study_name: Name of the search in the storage; None for the folder of the sweep.
        params: Setting -> values to search, as on the command line.
    """

    def __init__(
        self,
        sampler: DictConfig,
        direction: str | Sequence[str],
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        storage: str | None = None,
        study_name: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.sampler = sampler
        self.directions: list[Any] = [direction] if isinstance(direction, str) else list(direction)
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.max_failure_rate = max_failure_rate
        self.storage = storage
        self.study_name = study_name
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands out, and make the launcher."""
        self.config: Any = config
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.folder = real_path(str(config.hydra.sweep.dir))

    def sweep(self, arguments: list[str]) -> None:
        """Run the search, print its best settings and write them to `RESULTS`.

        Args:
            arguments: Overrides of the command line.
        """
        with one_sentence("rim-train"):
            require_extra("search", "hydra/sweeper=search")
            space, fixed = self._search_space([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
            study = self._study(space)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / "multirun.yaml", OmegaConf.to_yaml(self.config))
        resumed = [trial for trial in study.trials if not trial.state.is_finished()]  # the storage knows their settings
        while resumed or len(study.trials) < self.n_trials:
            count = min(self.n_jobs, len(resumed) or self.n_trials - len(study.trials))
            trials = resumed[:count] or [study.ask(fixed_distributions=space) for _ in range(count)]
            resumed = resumed[count:]
            overrides = [[*(f"{key}={text(value)}" for key, value in trial.params.items()), *fixed] for trial in trials]
            results = self.launcher.launch(overrides, initial_job_idx=trials[0].number)
            with one_sentence("rim-train"):
                self._tell(study, trials, [result._return_value for result in results])
        with one_sentence("rim-train"):
            self._report(study)

    def _search_space(self, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Return setting -> distribution of Optuna, and the overrides that are the same for all jobs."""
        overrides = {override.get_key_element(): override for override in self.parser.parse_overrides(list(arguments))}
        space = {key: distribution(override) for key, override in overrides.items() if override.is_sweep_override()}
        if not space:
            raise ValueError(
                "A search needs settings to vary, for example 'optim.clip=interval(0.1,10)' or model=base,small."
            )
        fixed = [
            f"{key}={override.get_value_element_as_str()}" for key, override in overrides.items() if key not in space
        ]
        return space, fixed

    def _study(self, space: Mapping[str, Any]) -> Any:
        import optuna

        wrong = [direction for direction in self.directions if direction not in DIRECTIONS]
        metrics = self.config.get("optimized_metric")
        count = 1 if isinstance(metrics, str) else len(metrics or [None])
        if wrong or count != len(self.directions):
            raise ValueError(
                f"hydra.sweeper.direction is {', '.join(self.directions)}; give {' or '.join(DIRECTIONS)} for each "
                "figure of optimized_metric."
            )
        if self.n_trials < 1 or self.n_jobs < 1:
            raise ValueError("hydra.sweeper.n_trials and hydra.sweeper.n_jobs must be 1 or more.")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            storage=self.storage,
            sampler=instantiate(self.sampler),
            study_name=self.study_name or (str(self.folder) if self.storage else None),
            directions=self.directions,
            load_if_exists=True,
        )

    def _tell(self, study: Any, trials: Sequence[Any], results: Sequence[Any]) -> None:
        """Report the figures of a batch of jobs; a job without one has failed."""
        from optuna.trial import TrialState

        failed = [trial.number for trial, result in zip(trials, results, strict=True) if isinstance(result, Exception)]
        for trial, result in zip(trials, results, strict=True):
            if trial.number in failed:
                study.tell(trial.number, state=TrialState.FAIL)
            else:
                study.tell(trial.number, result)
        if len(failed) / len(trials) > self.max_failure_rate:
            raise Incomplete(
                f"{len(failed)} of {len(trials)} jobs failed at once, more than hydra.sweeper.max_failure_rate="
                f"{self.max_failure_rate} allows; their logs are {self.folder}/<number>/log.txt.",
                nothing=not study.get_trials(states=[TrialState.COMPLETE]),
            )

    def _report(self, study: Any) -> None:
        from optuna.trial import TrialState

        failed = len(study.get_trials(states=[TrialState.FAIL]))
        logs = f"{self.folder}/<number>/log.txt"
        failure = f"{failed} of {len(study.trials)} jobs of the search failed; their logs are {logs}."
        if failed == len(study.trials):
            raise Incomplete(failure, nothing=True)
        best = []
        for trial in study.best_trials:
            params = {key: plain(value) for key, value in trial.params.items()}
            best.append({"job": trial.number, "params": params, "values": trial.values})
        for trial in best:
            settings = " ".join(f"{key}={value}" for key, value in trial["params"].items())
            say(f"Best: {', '.join(f'{value:.6g}' for value in trial['values'])} by job {trial['job']}: {settings}")
        first = best[0]
        content: dict[str, Any] = {"name": "optuna", "solutions": best}
        if len(self.directions) == 1:
            (value,) = first["values"]
            content = {
                "name": "optuna", "best_job": first["job"], "best_params": first["params"], "best_value": value
            }  # fmt: skip
        write_text(self.folder / RESULTS, OmegaConf.to_yaml(OmegaConf.create(content)))
        say(f"Best settings: {self.folder / RESULTS}")
        if failed:
            raise Incomplete(failure, nothing=False)


def distribution(override: Override) -> Any:
    """Return the distribution of Optuna for `choice`, `range`, `interval` or `a,b` of Hydra's command line.

    The end of a range is not part of it, as everywhere in Hydra; that of an interval is.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(cast(float, low), cast(float, high), log=log)
    choices = list(override.sweep_string_iterator())
    ordered = isinstance(value, RangeSweep) and not value.shuffle and len(choices) > 1
    if ordered and all(isinstance(number, int) for number in (value.start, value.stop, value.step)) and value.step > 0:
        return IntDistribution(int(choices[0]), int(choices[-1]), step=int(value.step))
    return CategoricalDistribution(choices)


def text(value: Any) -> str:
    """Format a value that Optuna proposed as Hydra's command line takes it. A choice is its own text."""
    return value if isinstance(value, str) else repr(value)


def plain(value: Any) -> Any:
    """Return a value that Optuna proposed as it stands in a YAML file."""
    return yaml.safe_load(value) if isinstance(value, str) else value
