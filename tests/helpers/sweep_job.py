"""A stand-in for rim-train in tests of sweeps.

`python -m tests.helpers.sweep_job value=… [seconds=…] [fail=…] hydra.run.dir=… resume=…`
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from rim_lightning.runs.state import record_run

overrides = OverridesParser.create().parse_overrides(sys.argv[1:])
settings = {override.key_or_group: str(override.value()) for override in overrides}
folder = Path(settings["hydra.run.dir"])
if settings.get("fail") == "early":
    sys.exit("rim-train: a wrong setting.")
signal.signal(signal.SIGTERM, signal.default_int_handler)
with record_run(folder):
    with open(folder / "runs.txt", "a") as runs:
        print(settings["resume"].lower(), file=runs)
    if settings.get("fail") == "once" and not (folder / "failed").exists():
        (folder / "failed").touch()
        raise RuntimeError("this job fails once")
    if settings.get("fail") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    end = time.monotonic() + float(settings.get("seconds", 0))
    while time.monotonic() < end:
        time.sleep(0.02)
    value = float(settings["value"])
    (folder / "metrics.json").write_text(
        json.dumps({"sr/synthetic/psnr_gain_y": value, "sr/synthetic/psnr_y": 20 + value})
    )
