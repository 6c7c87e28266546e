"""Worker processes: one OpenCV thread each, and none of them outlives the run."""

import os
import signal
import subprocess
import sys
import time

import pytest

PARENT = """
import os, time
from rim_lightning.data.workers import worker_pool

if __name__ == "__main__":
    with worker_pool(1) as pool:
        import cv2
        print(pool.submit(os.getpid).result(), pool.submit(cv2.getNumThreads).result(), flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
def test_a_worker_uses_one_thread_and_ends_with_its_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    worker, threads = (int(value) for value in parent.stdout.readline().split())
    assert threads == 1
    os.kill(worker, 0)  # it lives
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(worker)], capture_output=True, text=True).stdout.strip()
        if state in ("", "Z"):
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")
