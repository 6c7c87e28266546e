"""A few damaged clips end in frames or one sentence, see benchmarks/hostile_clips.py, which has the wide run."""

import importlib.util
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rim_lightning.commands.rim.main import main

FILE = Path(__file__).parents[2] / "benchmarks" / "hostile_clips.py"
SPECIFICATION = importlib.util.spec_from_file_location("hostile_clips", FILE)
hostile_clips = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["hostile_clips"] = hostile_clips
SPECIFICATION.loader.exec_module(hostile_clips)


@pytest.mark.slow
def test_damaged_clips_are_read_in_part_or_refused_in_a_sentence(tmp_path):
    kinds = []
    for number, (_, _, content) in enumerate(hostile_clips.hostile_clips(24, seed=7)):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        outcome = hostile_clips.outcome_of(path)
        assert outcome.kind in (hostile_clips.WHOLE, hostile_clips.PART, hostile_clips.REFUSED), outcome
        assert outcome.frames <= hostile_clips.FRAMES
        kinds.append(outcome.kind)
    assert hostile_clips.PART in kinds
    assert hostile_clips.REFUSED in kinds


@pytest.mark.slow
def test_the_command_ends_with_a_sentence_and_never_with_zero_for_a_clip_that_is_cut_off(tmp_path):
    whole = hostile_clips.whole_clips(tmp_path)["mp4, index in front"]
    for place in range(1, len(whole), len(whole) // 50):
        clip = tmp_path / "cut.mp4"
        clip.write_bytes(whole[:place])
        done = CliRunner().invoke(main, ["tracks", str(clip), str(tmp_path / f"out_{place}"), "--every", "12"])
        assert done.exit_code in (2, 3), (place, done.output)
        assert "Traceback" not in done.output
        assert "cut.mp4" in done.stderr
