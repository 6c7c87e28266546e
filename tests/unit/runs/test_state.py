"""What a run records of itself, and the lock that its process holds."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.files import write_json, write_json_once
from rim_lightning.runs import state
from rim_lightning.runs.state import is_locked, only_process, read_state, record_run

HOLD = """
import sys, time
from pathlib import Path
from rim_lightning.runs.state import record_run
with record_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_records_how_it_ended(tmp_path):
    folder = tmp_path / "run"
    assert read_state(folder).name == "waiting"
    with record_run(folder):
        assert read_state(folder)[:2] == ("running", 1)
    assert read_state(folder)[:3] == ("finished", 1, "")
    with pytest.raises(RuntimeError), record_run(folder):
        raise RuntimeError("too hot")
    assert read_state(folder)[:3] == ("failed", 2, "RuntimeError: too hot")
    with pytest.raises(KeyboardInterrupt), record_run(folder):
        raise KeyboardInterrupt
    last = read_state(folder)
    assert last[:2] == ("interrupted", 3)
    assert 0 <= last.seconds < 5
    assert not is_locked(folder)


def test_a_signal_while_the_start_is_recorded_is_an_interruption(tmp_path, monkeypatch):
    """On a slow disk a signal may come after the file is there, but before its writer returns."""
    written = []

    def write(path, content):
        write_json(path, content)
        written.append(content["name"])
        if len(written) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(state, "write_json", write)
    with pytest.raises(KeyboardInterrupt), record_run(tmp_path):
        pytest.fail("the run starts although it was stopped")
    assert written == ["running", "interrupted"]
    assert read_state(tmp_path)[:2] == ("interrupted", 1)


def test_no_second_process_runs_there_and_a_killed_one_is_reported(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert read_state(tmp_path)[:2] == ("running", 1)
    with pytest.raises(ValueError, match="Another process runs in"), record_run(tmp_path):
        pytest.fail("two processes in one directory")
    assert read_state(tmp_path)[:2] == ("running", 1)  # the refused one left no trace
    process.kill()
    process.wait()
    assert read_state(tmp_path)[:2] == ("killed", 1)
    with record_run(tmp_path):
        pass
    assert read_state(tmp_path)[:2] == ("finished", 2)


def test_a_killed_run_does_not_live_by_a_process_of_its_number(tmp_path):
    """A restarted container gives the numbers of processes again, under the same name of the machine."""
    write_json(tmp_path / "state.json", {"name": "running", "pid": os.getpid(), "host": socket.gethostname()})
    assert read_state(tmp_path).name == "killed"
    with record_run(tmp_path):
        assert read_state(tmp_path).name == "running"


def test_two_commands_do_not_write_into_one_folder(tmp_path):
    with only_process(tmp_path / "figures"):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "figures")]
        process = subprocess.run(command, capture_output=True, text=True)
        assert "ValueError: Another process runs in" in process.stderr
    with only_process(tmp_path / "figures"):
        pass


def test_folders_named_by_the_time_are_those_of_one_command():
    """Two commands of one second would share a folder, and the second would be refused."""
    dirs = [
        (file.name, line.strip())
        for file in sorted(CONF_DIR.glob("*.yaml"))
        for line in file.read_text().splitlines()
        if "${now:" in line
    ]
    assert {name for name, _ in dirs} >= {"compare.yaml", "eval.yaml", "speed.yaml", "train.yaml"}
    assert all(line.endswith("%S-%f}") for _, line in dirs), dirs


def test_a_look_does_not_stop_a_start(tmp_path):
    """`is_locked` takes the lock for an instant, in another process than the one that starts."""
    script = (
        "import sys; from pathlib import Path; from rim_lightning.runs.state import is_locked\n"
        "print('looking', flush=True)\nwhile True: is_locked(Path(sys.argv[1]))"
    )
    with record_run(tmp_path):
        pass
    watcher = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert watcher.stdout.readline() == "looking\n"
        time.sleep(0.05)
        with record_run(tmp_path):
            pass
    finally:
        watcher.kill()
    assert read_state(tmp_path).attempts == 2


def test_of_several_that_write_once_the_first_one_stays(tmp_path):
    write_json_once(tmp_path / "budget.json", {"minutes": 1})
    write_json_once(tmp_path / "budget.json", {"minutes": 2})
    assert json.loads((tmp_path / "budget.json").read_text()) == {"minutes": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["budget.json"]


def test_the_reason_of_a_failure_is_one_line_about_the_setting(tmp_path):
    with pytest.raises(InstantiationException), record_run(tmp_path):
        instantiate({"_target_": "torch.zeros", "size": [-1], "_convert_": "all"})
    message = read_state(tmp_path).message
    assert message.startswith("RuntimeError: ")
    assert "full_key" not in message
    assert "\n" not in message
