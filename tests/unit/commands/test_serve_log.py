"""The log of a service only grows, line by line."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from rim_lightning.commands.serve_log import DecisionLog


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_answer_is_a_line(tmp_path):
    log = DecisionLog(tmp_path / "logs" / "decisions.jsonl")
    log.add("gate_1", "verify", {"similarity": 0.5, "name": "Zoë\n"})
    log.close()
    log = DecisionLog(tmp_path / "logs" / "decisions.jsonl")
    log.add("", "forget", {"person": "x"})
    first, second = lines(tmp_path / "logs" / "decisions.jsonl")
    assert (first["user"], first["question"]) == ("gate_1", "verify")
    assert first["answer"] == {"similarity": 0.5, "name": "Zoë\n"}
    assert first["time"] < second["time"] or first["time"] == second["time"]
    assert second["answer"] == {"person": "x"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_nobody_else_reads_it(tmp_path):
    DecisionLog(tmp_path / "log").close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


@pytest.mark.parametrize("before", ['{"time": "2026"}\n{"time": "20', "{"], ids=["half a line", "one letter"])
def test_half_a_line_is_closed(tmp_path, before):
    file = tmp_path / "log"
    file.write_text(before)
    log = DecisionLog(file)
    log.add("", "people", {})
    *old, new = file.read_text().splitlines()
    assert "\n".join(old) == before
    assert json.loads(new)["question"] == "people"


def test_half_a_line_of_a_full_disk_is_closed(tmp_path, monkeypatch):
    """The disk has room for ten bytes, later for more."""
    file, write = tmp_path / "log", os.write
    log = DecisionLog(file)

    def little_room(number, content):
        monkeypatch.setattr(os, "write", full)
        return write(number, content[:10])

    def full(number, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", little_room)
    with pytest.raises(OSError, match="No space"):
        log.add("", "first", {})
    monkeypatch.setattr(os, "write", write)
    log.add("", "second", {})
    cut, whole = file.read_text().splitlines()
    assert cut == '{"time": "'
    assert json.loads(whole)["question"] == "second"


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no open file")
def test_a_moved_or_removed_file_is_made_again(tmp_path):
    file, moved = tmp_path / "log", tmp_path / "log.1"
    log = DecisionLog(file)
    log.add("", "first", {})
    file.rename(moved)
    log.add("", "second", {})
    file.unlink()
    log.begin("", "forget", {"person": "x"})
    assert [line["question"] for line in lines(moved)] == ["first"]
    assert [(line["question"], line["begun"]) for line in lines(file)] == [("forget", {"person": "x"})]


def test_lines_of_many_threads_stay_whole(tmp_path):
    log = DecisionLog(tmp_path / "log")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.add("", "x", {"number": number, "long": "y" * 5000}), range(100)))
    assert sorted(line["answer"]["number"] for line in lines(tmp_path / "log")) == list(range(100))


def test_what_is_no_json_is_refused(tmp_path):
    log = DecisionLog(tmp_path / "log")
    with pytest.raises(ValueError, match="JSON"):
        log.add("", "x", {"similarity": float("nan")})
    assert (tmp_path / "log").read_text() == ""
