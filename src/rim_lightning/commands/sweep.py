"""rim-sweep: look at a sweep of `rim-train -m`, resume it, and read its figures."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rim_lightning.commands.command_parser import command_parser
from rim_lightning.commands.errors import Hints, one_sentence
from rim_lightning.extras import require_extra
from rim_lightning.files import real_path
from rim_lightning.runs.progress import say
from rim_lightning.runs.state import only_process
from rim_lightning.runs.sweep import Sweep, read_sweep, swept_settings
from rim_lightning.runs.sweep_table import (
    FIGURES,
    check_patterns,
    in_columns,
    plot_effects,
    table_rows,
    write_table,
)

UNFINISHED = ("waiting", "killed", "interrupted")
EXAMPLES = """Examples:
  rim-sweep status multirun/demo/2026-01-31_12-00-00-123456
  rim-sweep resume multirun/demo/2026-01-31_12-00-00-123456     the jobs that never ran, were killed or stopped
  rim-sweep retry multirun/demo/2026-01-31_12-00-00-123456      the failed jobs, too
  rim-sweep table multirun/demo/2026-01-31_12-00-00-123456 --figures '*/rim/accuracy' 'sr/*/psnr_y'

Exit codes of resume and retry: 0 all jobs of the sweep have finished, run or wait; 1 no job could be finished; 3 some
jobs failed or were stopped. table ends with 1 if no job has a figure of an asked name.
"""


def main() -> None:
    """Carry out one call of rim-sweep."""
    arguments = _parser().parse_args()
    hints = Hints(interrupted=f"stopped; `rim-sweep resume {arguments.folder}` resumes it")
    with one_sentence("rim-sweep", hints):
        require_extra("train", "This command")
        sweep = read_sweep(real_path(arguments.folder))
        if arguments.action == "table":
            _table(sweep, arguments.figures)
        elif arguments.action == "status":
            say(*_status(sweep).splitlines())
        else:
            _resume(sweep, UNFINISHED if arguments.action == "resume" else (*UNFINISHED, "failed"))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "rim-sweep", "look at a sweep of `rim-train -m`, resume it, and read its figures.", EXAMPLES
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    for name, text in (
        ("status", "every job and its state"),
        ("resume", "run the jobs that have not ended, each from its last checkpoint"),
        ("retry", "resume, and the failed jobs once more"),
        ("table", "the figures of the jobs: print them, write table.csv and effects.png"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("folder", type=Path, help="directory of the sweep")
        if name == "table":
            action.add_argument("--figures", nargs="+", default=FIGURES, help="patterns of keys of metrics.json")
    return parser


def _status(sweep: Sweep) -> str:
    swept = swept_settings(sweep.jobs)
    rows = [["job", "state", "attempts", *swept, "message"]]
    for job, *values in zip(sweep.jobs, *swept.values(), strict=True):
        state = job.state
        rows.append([str(job.number), state.name, str(state.attempts), *values, state.message])
    return in_columns(rows)


def _table(sweep: Sweep, patterns: Sequence[str]) -> None:
    rows = table_rows(sweep, patterns)
    say(*in_columns(rows).splitlines())
    write_table(sweep.folder / "table.csv", rows)
    say(f"Table: {sweep.folder / 'table.csv'}")
    if plot_effects(sweep.folder / "effects.png", sweep, patterns):
        say(f"Effect of each setting: {sweep.folder / 'effects.png'}")
    check_patterns(sweep.jobs, patterns)


def _resume(sweep: Sweep, states: tuple[str, ...]) -> None:
    sweep.check_runnable()
    sweep.check_launcher()
    jobs = [job for job in sweep.jobs if job.state.name in states]
    if not jobs:
        say("Nothing is left to run.")
        sweep.check_finished()
        return
    from hydra.utils import call  # not at the top of the file: `--help` should not wait for it

    with only_process(sweep.folder):
        call(sweep.launcher, sweep, jobs)
    say(*_status(sweep).splitlines())
    if not sweep.is_queued:
        sweep.check_finished()


if __name__ == "__main__":
    main()
