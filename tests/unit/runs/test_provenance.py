"""Where figures come from."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rim_lightning.files import write_json
from rim_lightning.runs import provenance as origin
from rim_lightning.runs.provenance import code_version, command, provenance


def test_a_report_names_code_date_duration_machine_and_command(tmp_path, monkeypatch):
    started = datetime.now(UTC) - timedelta(minutes=3, seconds=5)
    record = {"pid": os.getpid(), "attempts": 2, "started": started.isoformat(), "name": "running"}
    write_json(tmp_path / "state.json", record)
    monkeypatch.setattr(origin, "is_own_run", lambda folder: folder == tmp_path)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/rim-train", "experiment=demo", "paths.data_dir='/a b'"])
    code, date, duration, machine, typed = provenance(tmp_path)
    assert code_version() in code
    assert date.startswith(f"Date: {datetime.now(UTC):%Y-%m-%d} ")
    assert duration.startswith("Duration: 3 min ")
    assert "in attempt 2 alone" in duration
    assert f"{len(os.sched_getaffinity(0))} cores" in machine
    assert "Python 3." in machine
    assert "`rim-train experiment=demo 'paths.data_dir='\"'\"'…/a b'\"'\"''`" in typed


def test_a_module_is_named_as_it_was_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/rim_lightning/commands/eval.py", "checkpoint=x"])
    assert command() == "python -m rim_lightning.commands.eval checkpoint=x"


def test_an_installed_package_does_not_take_the_commit_of_the_repository_around_it(tmp_path, monkeypatch):
    package = tmp_path / "venv" / "provenance.py"
    package.parent.mkdir()
    package.touch()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    monkeypatch.setattr(origin, "__file__", str(package))
    assert code_version() == origin.version("rim-lightning")
    subprocess.run(["git", "add", "venv"], cwd=tmp_path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert code_version() == head[:12] + "+"
    assert Path(origin.__file__) == package
