"""Several processes train one run: if one of them fails, all end within seconds, with sentences and without orphans."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from tests.helpers.stores import small_synthetic_store
from tests.integration.test_breakage import ROOT, STAGES, command
from tests.integration.test_torchrun import RANKS, TORCHRUN

SECONDS = 60  # on a busy machine; alone it takes a few
START = 300  # until the first checkpoint, on a busy machine
ENDLESS = STAGES.format(3000)
RANK = "${oc.env:LOCAL_RANK,0}"  # Lightning's first process has no such variable


@pytest.fixture
def store(tmp_path):
    return small_synthetic_store(tmp_path / "store0", people=6, views=3, hr_size=64).path


@pytest.fixture
def begin(tmp_path):
    """Start a run of two processes. Whatever is left of it at the end is killed."""
    begun = []

    def start(arguments, **environment):
        arguments = [*arguments, "data.batch_size=2", *RANKS, ENDLESS]
        with open(tmp_path / "log.txt", "w") as log:
            process = subprocess.Popen(
                arguments, cwd=ROOT, stdout=log, stderr=log, env=os.environ | environment, start_new_session=True
            )
        begun.append(process.pid)
        return process

    yield start
    for group in begun:
        if alive(group):
            os.killpg(group, signal.SIGKILL)


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_training(folder):
    end = time.monotonic() + START
    while not (folder / "checkpoints" / "last.ckpt").is_file():
        assert time.monotonic() < end
        time.sleep(0.1)


def assert_all_end(process, log, *sentences, seconds=SECONDS):
    """All processes end in time; every sentence is there, none of them is a trace."""
    process.wait(timeout=seconds)
    end = time.monotonic() + seconds
    while alive(process.pid):
        assert time.monotonic() < end, "a process is left over"
        time.sleep(0.1)
    text = log.read_text()
    assert process.returncode not in (0, 70), text
    for sentence in sentences:
        assert re.search(rf"^rim-train: .*{sentence}", text, re.MULTILINE), text
    assert "fault of the program" not in text
    assert "/rim_lightning/" not in "".join(re.findall(r"^ +File .*", text, re.MULTILINE))  # torchrun prints its own
    return re.findall("^rim-train: .*", text, re.MULTILINE)


@pytest.mark.slow
def test_a_store_that_is_cut_off_during_the_training_is_named(store, begin, tmp_path):
    process = begin(command(tmp_path / "run", store))
    wait_for_training(tmp_path / "run")
    file = store / "images.npy"
    os.truncate(file, file.stat().st_size // 2)
    assert_all_end(process, tmp_path / "log.txt", f"{file} was cut off while it was read: .*make it again")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_other_one(rank, store, begin, tmp_path):
    dying = (
        f"data.augmentation={{_target_: tests.helpers.dying.Dying, _partial_: true, orders: '{tmp_path}/die{RANK}'}}"
    )
    process = begin(command(tmp_path / "run", store, dying))
    wait_for_training(tmp_path / "run")
    (tmp_path / f"die{rank}").touch()
    sentences = assert_all_end(process, tmp_path / "log.txt", "(Another|The first|The) process of .*ended")
    assert len(sentences) == 1


@pytest.mark.slow
def test_a_process_that_does_not_see_the_prepared_faces_says_so(store, begin, tmp_path):
    process = begin(command(tmp_path / "run", f"'{tmp_path}/store{RANK}'"))
    assert_all_end(
        process,
        tmp_path / "log.txt",
        f"does not see {tmp_path}/store1/manifest.json, .*the same paths.prepared_dir",
        "(Another|The) process of .*ended",
        seconds=START,
    )


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(store, begin, tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = begin(command(tmp_path / "run", store), MASTER_PORT=str(port))
        assert_all_end(process, tmp_path / "log.txt", f"Port {port} is taken by another program", seconds=START)


@pytest.mark.slow
def test_processes_of_torchrun_tell_each_other_why_they_stop(store, begin, tmp_path):
    arguments = command(tmp_path / "run", f"'{tmp_path}/store{RANK}'")[1:]
    process = begin([*TORCHRUN, *arguments])
    assert_all_end(
        process,
        tmp_path / "log.txt",
        f"does not see {tmp_path}/store1/manifest.json",
        "(The process of rank 1 has stopped: ValueError: This process does not see|stopped by SIGTERM)",
        seconds=START,
    )
