"""A few dozen damaged files of each kind end in an answer or one sentence, see benchmarks/hostile_files.py."""

import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "hostile_files.py"
SPECIFICATION = importlib.util.spec_from_file_location("hostile_files", FILE)
hostile_files = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["hostile_files"] = hostile_files
SPECIFICATION.loader.exec_module(hostile_files)

COUNT = 24
NEEDS = {"galleries": "lancedb", "embedded folders": "pyarrow", "prepared and packed sets": "pyarrow"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", hostile_files.KINDS)
def test_damaged_files_end_in_an_answer_or_in_one_sentence(tmp_path, name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    kind, valid, work = hostile_files.KINDS[name], tmp_path / "valid", tmp_path / "valid" / "work"
    valid.mkdir()
    kind.make(valid)
    right = repr(kind.read(hostile_files.copied(valid, work)))
    assert hostile_files.outcome_of(kind, hostile_files.copied(valid, work), right) == ("same", "accepted")
    outcomes, faults = Counter(), []
    for number in range(COUNT):
        kind.damage(hostile_files.copied(valid, work), random.Random(f"test {name} {number}"), number)
        outcome, said = hostile_files.outcome_of(kind, work, right)
        outcomes[outcome] += 1
        faults += [(number, outcome, said)] if outcome in hostile_files.BAD else []
    assert not faults
    assert outcomes["sentence"] > COUNT / 4 or name == "journals of sets"  # whose damaged lines are prepared again
