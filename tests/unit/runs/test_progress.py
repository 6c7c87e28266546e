"""Bars on a terminal only, and a line for each step."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from rim_lightning.runs.progress import StepCounter

SCRIPT = """
from rim_lightning.runs.progress import progress_bar, say
for number in progress_bar(range(3), desc="rows"):
    say(f"row {number}")
"""


def test_a_log_file_holds_lines_alone():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "row 0\nrow 1\nrow 2\n"
    assert done.stderr == ""


def test_a_terminal_has_a_bar():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.DEVNULL, stderr=theirs, check=True)
    shown = os.read(ours, 10_000)
    os.close(theirs)
    os.close(ours)
    assert b"rows" in shown
    assert b"\r" in shown


def test_steps_are_counted(capsys):
    steps = StepCounter({"prepare": "prepare the faces", "train": "train fhn"})
    steps.begin("prepare")
    steps.begin("train")
    assert capsys.readouterr().out == (
        "step 1 of 2: prepare the faces (after 0 s)\nstep 2 of 2: train fhn (after 0 s)\n"
    )
    StepCounter({"prepare": ""}, silent=True).begin("prepare")
    assert capsys.readouterr().out == ""
