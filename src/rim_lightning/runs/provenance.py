"""Where figures come from: version of the code, date, duration, machine and command."""

import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rim_lightning.files import without_folders
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.state import is_own_run

_STARTED = time.time()


def provenance(folder: Path) -> list[str]:
    """Return sentences for the head of a report.

    Args:
        folder: Folder of the run. If this process runs there, its record says when the attempt began.
    """
    now = datetime.now(UTC)
    started, attempt = _beginning(folder)
    return [
        f"Code: {code_version()} (rim-lightning {version('rim-lightning')}).",
        f"Date: {now:%Y-%m-%d %H:%M} UTC.",
        f"Duration: {duration_in_words(now.timestamp() - started)} up to this report{attempt}.",
        f"Machine: {machine()}.",
        f"Command: `{command()}`, in `{Path.cwd().name or '/'}`.",
    ]


def code_version() -> str:
    """Return the commit of the source tree, with "+" if it is changed; outside a repository the package version."""
    folder = Path(__file__).parent
    try:
        if not _git("ls-files", Path(__file__).name, folder=folder):  # installed within somebody else's repository
            return version("rim-lightning")
        commit = _git("rev-parse", "--short=12", "HEAD", folder=folder)
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no", folder=folder) else "")
    except (OSError, subprocess.CalledProcessError):
        return version("rim-lightning")


def command() -> str:
    """Return the command line of this process, as a user would type it, without folders of this machine."""
    program = Path(sys.argv[0])
    if program.parent.name == "commands" and program.suffix == ".py":
        words = ["python", "-m", f"rim_lightning.commands.{program.stem}"]
    else:
        words = [program.name]
    return shlex.join([*words, *map(without_folders, sys.argv[1:])])


def machine() -> str:
    """Return processor, cores, GPU and system of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [processor(), f"{cores} cores"]
    torch = sys.modules.get("torch")
    if torch is not None:
        if torch.cuda.is_available():
            parts.append(f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}")
        parts.append(f"torch {torch.__version__} with {torch.get_num_threads()} threads")
    return ", ".join([*parts, f"Python {platform.python_version()}, {platform.system()}"])


def processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "CPU"


def duration_in_words(seconds: float) -> str:
    """Format a duration.

    Example:
        >>> duration_in_words(12.4), duration_in_words(185), duration_in_words(7260)
        ('12 s', '3 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _beginning(folder: Path) -> tuple[float, str]:
    """Return when this attempt began, in seconds since 1970, and a phrase with its number if it is not the first."""
    file = RunFolder(folder).state
    from rim_lightning.runs.records import StateRecord, read_record

    record = read_record(file, StateRecord) if is_own_run(folder) and file.is_file() else StateRecord()
    if record.started is None:
        return _STARTED, ""
    phrase = "" if record.attempts <= 1 else f", in attempt {record.attempts} alone"
    return datetime.fromisoformat(record.started).timestamp(), phrase


def _git(*arguments: str, folder: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
