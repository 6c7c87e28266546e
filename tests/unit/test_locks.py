"""A lock is held by one process, is freed when that process dies, and forked children do not hold it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from rim_lightning.data.stores.writer import one_writer
from rim_lightning.locks import process_lock, wait_and_hold
from rim_lightning.runs.state import record_run

HOLD = """
import os, sys, time
from pathlib import Path
from rim_lightning.locks import process_lock
lock = process_lock(Path(sys.argv[1]))
lock.acquire(timeout=0)
if os.fork() == 0:
    print("held", flush=True)  # by the child: it has run what it does after the fork
time.sleep(30)
"""
OTHER_SYSTEM = Path(__file__).resolve().parents[1] / "helpers" / "other_system"


def held(path):
    try:
        with process_lock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def test_a_lock_is_freed_by_the_end_of_its_process(tmp_path):
    path = tmp_path / "run.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert held(path)
        process.kill()
        process.wait()
        assert not held(path)  # though the child of the process lives on
    finally:
        os.killpg(process.pid, 9)


def test_a_lock_is_given_back(tmp_path):
    path = tmp_path / "run.lock"
    with process_lock(path).acquire(timeout=0):
        assert held(path)
    assert not held(path)
    assert path.is_file()  # a lock that is removed while others wait would let two of them in


CHECK = """
import subprocess, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from filelock import Timeout
from rim_lightning.locks import process_lock
path = Path(sys.argv[1])
with process_lock(path).acquire(timeout=0):
    if len(sys.argv) == 2:
        other = subprocess.run([sys.executable, *sys.orig_argv[1:], "other"], capture_output=True, text=True)
        assert other.returncode == 1 and "Timeout" in other.stderr, other
"""


@pytest.mark.parametrize("left_over", [True, False])
def test_a_system_without_kernel_locks_has_locks_too(tmp_path, left_over):
    path = tmp_path / "run.lock"
    if left_over:  # by a process that had fcntl
        path.touch()
    search = os.pathsep.join([str(OTHER_SYSTEM), *(entry for entry in sys.path if entry)])
    command = [sys.executable, "-c", CHECK, str(path)]
    for _ in range(2):
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_named(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("fcntl.flock", refuse)
    starts = {
        "lock": lambda: process_lock(tmp_path / "lock").acquire(timeout=0),
        "waits": lambda: wait_and_hold(process_lock(tmp_path / "waits"), "waiting").__enter__(),
        "run/lock": lambda: record_run(tmp_path / "run").__enter__(),
        ".store.lock": lambda: one_writer(tmp_path / "store").__enter__(),
    }
    for name, start in starts.items():
        with pytest.raises(ValueError, match=rf"^The disk of {tmp_path}/{name} has no locks \(.*\), .*another disk"):
            start()
    assert not list(tmp_path.glob("*.held"))


MARKER = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from rim_lightning.locks import process_lock
lock = process_lock(Path(sys.argv[1]))
lock.acquire(timeout=0)
print(Path(lock.lock_file).read_text())
"""


def test_a_lock_that_is_a_file_is_not_held_by_a_later_process_of_the_same_number(tmp_path):
    """Without kernel locks a killed process leaves its lock; a live one of its number and host does not hold it."""
    search = os.pathsep.join([str(OTHER_SYSTEM), *(entry for entry in sys.path if entry)])
    options = {"env": os.environ | {"PYTHONPATH": search}, "capture_output": True, "text": True, "timeout": 60}
    command = [sys.executable, "-c", MARKER, str(tmp_path / "run.lock")]
    done = subprocess.run(command, **options)
    number, host, start, *_ = done.stdout.split()
    assert start.strip()
    marker = tmp_path / "run.lock.held"
    marker.write_text(f"{os.getpid()}\n{host}\n{start}\n")  # this process lives, and started at another time
    assert subprocess.run(command, **options).returncode == 0
    marker.write_text(f"{number}\nelsewhere\n{start}\n")  # nobody can tell: it is held
    assert "Timeout" in subprocess.run(command, **options).stderr
