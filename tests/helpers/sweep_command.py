"""rim-sweep whose jobs are those of `tests.helpers.sweep_job` instead of rim-train."""

from rim_lightning.commands import sweep
from rim_lightning.runs import sweep as sweep_file

if __name__ == "__main__":
    sweep_file.TRAINING = ("-m", "tests.helpers.sweep_job")
    sweep.main()
