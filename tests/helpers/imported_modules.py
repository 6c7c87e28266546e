"""Run a command in a process of its own and say which packages it has imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def imported_by(folder, command, *words, missing=(), codes=(0, 1)):
    """Names of the packages that a command has imported when it ends.

    Args:
        folder: Folder that the command runs in.
        command: "rim" or the name of a module of `commands/`.
        *words: Arguments.
        missing: Packages that cannot be imported, as if they were not installed.
        codes: Exit codes with which the command may end.
    """
    out = folder / "modules.json"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), *(entry for entry in sys.path if entry)]),
        "OMP_NUM_THREADS": "1",
    }
    call = [sys.executable, __file__, str(out), ",".join(missing), command, *map(str, words)]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in codes, done.stdout + done.stderr
    return set(json.loads(out.read_text()))


def _main():
    import atexit
    import importlib

    out, missing, command, *words = sys.argv[1:]
    for package in filter(None, missing.split(",")):
        sys.modules[package] = None
    sys.argv = [command, *words]
    atexit.register(
        lambda: Path(out).write_text(
            json.dumps(sorted({name.partition(".")[0] for name, module in sys.modules.items() if module is not None}))
        )
    )
    module = "rim_lightning.commands.rim.main" if command == "rim" else f"rim_lightning.commands.{command}"
    importlib.import_module(module).main()


if __name__ == "__main__":
    _main()
