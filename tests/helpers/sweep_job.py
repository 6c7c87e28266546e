"""A stand-in for rim-train in tests of sweeps.

`python -m tests.helpers.sweep_job value=… [seconds=…] [fail=…] hydra.run.dir=… resume=…`
"""

import json
import signal
import sys
import time
from pathlib import Path

from rim_lightning.runs.state import record_run

settings = dict(argument.split("=", 1) for argument in sys.argv[1:])
folder = Path(settings["hydra.run.dir"])
if settings.get("fail") == "early":
    sys.exit("rim-train: a wrong setting.")
signal.signal(signal.SIGTERM, signal.default_int_handler)
with record_run(folder):
    with open(folder / "runs.txt", "a") as runs:
        print(settings["resume"], file=runs)
    if settings.get("fail") == "once" and not (folder / "failed").exists():
        (folder / "failed").touch()
        raise RuntimeError("this job fails once")
    end = time.monotonic() + float(settings.get("seconds", 0))
    while time.monotonic() < end:
        time.sleep(0.02)
    value = float(settings["value"])
    (folder / "metrics.json").write_text(
        json.dumps({"sr/synthetic/psnr_gain_y": value, "sr/synthetic/psnr_y": 20 + value})
    )
