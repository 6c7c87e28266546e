"""The worked case of the docs: its script runs, and prints what the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORD = re.compile(r"\d{4}-\d\d-\d\d_[\d.-]+")


def commands_in(text):
    return [RECORD.sub("<record>", line) for line in text.splitlines() if line.startswith("$ rim")]


@pytest.mark.slow
def test_the_page_shows_what_the_script_prints(tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("reportlab")
    script = [sys.executable, str(DOCS / "worked_case.py"), str(tmp_path / "case")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (DOCS / "worked_case.md").read_text(encoding="utf-8")
    assert commands_in(page) == commands_in(done.stdout)
    similarity = re.compile(r"^similarity ([\d.]+), threshold ([\d.]+)$", re.MULTILINE)
    shown, printed = (tuple(map(float, similarity.search(text).groups())) for text in (page, done.stdout))
    assert printed == pytest.approx(shown, abs=0.02)
    assert "\nthe same bits\n" in done.stdout
    assert (tmp_path / "case" / "case.pdf").read_bytes().startswith(b"%PDF")
