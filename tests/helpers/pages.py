"""Pages that `rim page` shows in a process of their own."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class RunningPage(NamedTuple):
    """A page, its address with the token, and its output."""

    process: subprocess.Popen
    address: str
    log: Path


@contextmanager
def running_page(*arguments: object, temporary: Path | None = None) -> Iterator[RunningPage]:
    """Run `rim page` on a free port; `temporary` is the folder for its temporary files."""
    command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with open(log, "w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            yield RunningPage(process, _printed_address(process, log), log)
        finally:
            process.terminate()
            process.wait()


def _printed_address(process: subprocess.Popen, log: Path) -> str:
    for _ in range(900):
        if found := re.search(r"Page: (\S+)", log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(f"no page after three minutes: {log.read_text()}")
