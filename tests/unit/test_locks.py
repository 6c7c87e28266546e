"""A lock is held by one process, is freed when that process dies, and forked children do not hold it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from rim_lightning.locks import process_lock

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
