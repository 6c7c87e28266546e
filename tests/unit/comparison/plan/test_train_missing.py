"""Who is trained when, and what a failure takes with it. The runs are processes that only say how they ended."""

import subprocess
import sys

import pytest

from rim_lightning.comparison.plan import train_missing as training
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.comparison.plan.systems import System
from rim_lightning.comparison.plan.train_missing import train_missing
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.state import read_state

JOB = """
import json, sys, time
folder, outcome = sys.argv[1:]
time.sleep(0.2)
print("rim-train: " + outcome)
json.dump({"name": outcome, "attempts": 1}, open(folder + "/state.json", "w"))
"""


class Plan:
    """Two trials a system that has a choice, one run a seed."""

    def __init__(self, folder, systems):
        self.systems, self.folder = systems, folder

    def _run(self, title):
        return Run(title, RunFolder(self.folder / title), (), title, ())

    def trials(self, name):
        system = self.systems[name]
        if system.after and not self._run(f"{system.after} 0").finished():
            raise NotTrained(self._run(f"{system.after} 0"))
        return {rate: self._run(f"{name} trial {rate}") for rate in (1, 2)}

    def runs(self, name):
        system = self.systems[name]
        for run in self.trials(system.rate_of or name).values():
            if read_state(run.folder.path).name not in ("finished", "failed"):
                raise NotTrained(run)
        if system.after and not self._run(f"{system.after} 0").finished():
            raise NotTrained(self._run(f"{system.after} 0"))
        return [self._run(f"{name} {seed}") for seed in system.seeds]


SYSTEMS = {
    "fhn": System("fhn", "hallucination", "fhn", seeds=(0, 1)),
    "rim": System("rim", "recognition", "rim", after="fhn"),
    "cosine": System("cosine", "recognition", "rim", after="fhn", rate_of="rim"),
}


@pytest.fixture
def started(monkeypatch):
    """Titles in the order in which they were started; `failing` names those that fail."""
    monkeypatch.setattr(training, "POLL", 0.05)
    monkeypatch.setattr(training.signal, "signal", lambda *_: None)
    started, at_once = [], []

    def start(run):
        run.folder.path.mkdir(parents=True, exist_ok=True)
        started.append(run.title)
        outcome = "failed" if run.title in started_failing else "finished"
        with open(run.folder.log, "w") as log:
            process = subprocess.Popen([sys.executable, "-c", JOB, str(run.folder.path), outcome], stdout=log)
        alive.append(process)
        at_once.append(sum(other.poll() is None for other in alive))
        return process

    alive, started_failing = [], set()
    monkeypatch.setattr(training, "_start", start)
    started_and = type("Started", (), {"titles": started, "failing": started_failing, "at_once": at_once})
    return started_and


def test_trials_come_first_and_a_system_waits_for_what_it_starts_from(tmp_path, started):
    assert train_missing(Plan(tmp_path, SYSTEMS), ["cosine"], parallel=2) == {}
    order = started.titles
    assert sorted(order) == sorted(
        ["fhn trial 1", "fhn trial 2", "fhn 0", "fhn 1", "rim trial 1", "rim trial 2", "rim 0", "cosine 0"]
    )
    place = {title: number for number, title in enumerate(order)}
    assert max(place["fhn trial 1"], place["fhn trial 2"]) < min(place["fhn 0"], place["fhn 1"])
    assert place["fhn 0"] < place["rim trial 1"] < place["cosine 0"]
    assert max(started.at_once) == 2


def test_nothing_that_is_finished_is_trained_again(tmp_path, started):
    plan = Plan(tmp_path, SYSTEMS)
    train_missing(plan, ["rim"], parallel=2)
    before = len(started.titles)
    assert train_missing(plan, ["rim", "fhn"], parallel=2) == {}
    assert len(started.titles) == before


def test_a_failure_takes_only_those_that_need_it(tmp_path, started):
    started.failing.update({"rim 0", "fhn trial 2"})
    failed = train_missing(Plan(tmp_path, SYSTEMS), ["rim", "cosine"], parallel=2)
    assert failed == {"rim": "rim-train: failed", "cosine": "rim could not be trained"}
    assert "fhn 0" in started.titles
    assert started.titles.count("rim 0") == 1


def test_a_rate_that_failed_is_not_tried_at_every_call(tmp_path, started):
    started.failing.add("fhn trial 2")
    plan = Plan(tmp_path, SYSTEMS)
    train_missing(plan, ["fhn"], parallel=1)
    before = len(started.titles)
    assert train_missing(plan, ["fhn"], parallel=1) == {}
    assert len(started.titles) == before


def test_stopping_stops_the_runs(tmp_path, started, monkeypatch):
    processes = []
    original = training._start
    monkeypatch.setattr(training, "_start", lambda run: processes.append(original(run)) or processes[-1])

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_missing(Plan(tmp_path, SYSTEMS), ["fhn"], parallel=2)
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)
