"""Records of runs that somebody damaged are one sentence with file, place and value."""

import json

import pytest

from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import read_origin
from rim_lightning.runs.records import read_figures, read_reported, read_speed_entries
from rim_lightning.runs.state import read_attempts, read_state
from rim_lightning.runs.sweep import read_sweep

STATE = {"name": "failed", "attempts": 2, "message": "no", "seconds": 1.5, "pid": 1, "host": "a", "ended": "later"}
ORIGIN = {"overrides": ["seed=1"], "version": "0.1.0", "processes": 1, "stores": {}, "files": {}}
SWEEP = {"command": [], "launcher": {}, "jobs": [{"index": 0, "overrides": []}, {"index": 1, "overrides": []}]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "escaped"}, "name is 'escaped'; it must be 'running', 'finished'"),
        ({"attempts": -1}, "attempts is -1; it must be greater than or equal to 0"),
        ({"attempts": "2"}, "attempts is '2'; it must be a valid integer"),
        ({"message": None}, "message is None; it must be a valid string"),
        ({"started": "yesterday"}, "started is 'yesterday'; invalid isoformat string"),
    ],
)
def test_a_state_that_cannot_be_is_named(tmp_path, change, sentence):
    assert read_attempts(tmp_path) == 0
    (tmp_path / "state.json").write_text(json.dumps(STATE))
    assert read_state(tmp_path) == ("failed", 2, "no", 1.5)
    (tmp_path / "state.json").write_text(json.dumps(STATE | change))
    for read in (read_state, read_attempts):
        with pytest.raises(ValueError, match=f"state.json: {sentence}"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"overrides": [1]}, r": overrides\[0\] is 1; it must be a valid string"),
        ({"processes": 0}, ": processes is 0; it must be greater than or equal to 1"),
        ({"stores": []}, ": stores is a list of 0; it must be a valid dictionary"),
    ],
)
def test_an_origin_that_cannot_be_is_named(tmp_path, change, sentence):
    (tmp_path / "origin.json").write_text(json.dumps(ORIGIN | change))
    with pytest.raises(ValueError, match=f"origin.json{sentence}"):
        read_origin(RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"jobs": [{"index": "../..", "overrides": []}]},
            r"jobs\[0\].index is '\.\./\.\.'; it must be a valid integer",
        ),
        ({"jobs": SWEEP["jobs"][::-1]}, "jobs is a list of 2; the numbers of its jobs must ascend"),
        ({"launcher": 1}, "launcher is 1; it must be a valid dictionary"),
        ({"command": "rm"}, "command is 'rm'; it must be a valid list"),
        ({"format": 2.5}, "format is 2.5; it must be a valid integer"),
    ],
)
def test_a_sweep_that_cannot_be_is_named(tmp_path, change, sentence):
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP))
    assert [job.number for job in read_sweep(tmp_path).jobs] == [0, 1]
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP | change))
    with pytest.raises(ValueError, match=f"sweep.json: {sentence}"):
        read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [('{"loss": "1"}', "loss is '1'; it must be a valid number"), ('{"loss": NaN}', "loss is NaN, which is no number")],
)
def test_figures_are_numbers(tmp_path, content, sentence):
    file = tmp_path / "metrics.json"
    file.write_text('{"a": 1.5, "b": null, "c": 2}')
    assert read_figures(file) == {"a": 1.5, "c": 2}
    file.write_text(content)
    with pytest.raises(ValueError, match=f"metrics.json: {sentence}"):
        read_figures(file)


def test_what_was_reported_and_measured_is_checked(tmp_path):
    file = tmp_path / "file.json"
    file.write_text("[1.5, null, [1, 2]]")
    assert read_reported(file) == [1.5, None, [1, 2]]
    file.write_text('["1"]')
    with pytest.raises(ValueError, match=r"file.json: \[0\].* is '1'; it must be a valid"):
        read_reported(file)
    with pytest.raises(ValueError, match=r"file.json: \[0\] is '1'; it must be a valid dictionary"):
        read_speed_entries(file)
