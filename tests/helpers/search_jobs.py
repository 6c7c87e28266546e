"""A stand-in for the jobs of a search: the figure is a parabola over `optim.clip`, jobs beyond 3 fail."""

import json

from rim_lightning.runs.state import record_run


def run_parabola(sweep, jobs, parallel, gpus_per_job):
    """Run the jobs in this process, with the arguments of `run_locally`. Write down every job that ran."""
    for job in jobs:
        clip = float(dict(override.split("=", 1) for override in job.overrides)["optim.clip"].strip("'"))
        with open(sweep.folder / "ran.txt", "a") as ran:
            print(job.number, clip, file=ran)
        try:
            with record_run(job.folder):
                if clip > 3:
                    raise RuntimeError("too large")
                (job.folder / "metrics.json").write_text(
                    json.dumps({"val/psnr_gain": -((clip - 2) ** 2), "val/clip": clip})
                )
        except RuntimeError:
            pass
