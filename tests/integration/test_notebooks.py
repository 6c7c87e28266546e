"""The notebooks run from top to bottom, and are committed without outputs."""

from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


class Short(NamedTuple):
    """A short execution of a notebook.

    Attributes:
        parameters: Code that replaces the parameters of the notebook, for less work.
        pictures: Number of pictures that the notebook shows.
        check: Code that runs at the end of the notebook and checks its results.
    """

    parameters: str
    pictures: int
    check: str


SHORT = {
    "inside_fhn": Short(
        parameters="people, epochs = 20, 2",
        pictures=8,
        check="""
import math

assert psnr["SR"].shape == (len(sharp),) and (psnr["SR"] > 5).all()
assert set(errors) == {f"{scheme}, {kind}" for scheme in ("ibug68", "helen194") for kind in ("coarse", "sharp")}
assert iou["coarse"].shape == iou["sharp"].shape == (11,)
assert logged("val/mmd").shape == logged("val/mmd_p").shape == (2, 2)  # step and value, of two epochs
assert math.isclose(measured["coarse"]["mmd"], logged("val/mmd")[1, -1], abs_tol=1e-4)
assert math.isclose(measured["coarse"]["mmd_p"], logged("val/mmd_p")[1, -1], abs_tol=0.02)
assert all(curve.isfinite().all() and len(curve) == len(tried) for curve in values.values())
""",
    ),
    "quickstart": Short(
        parameters="people, views, epochs = 20, 2, {'fhn': 1, 'hrn': 1, 'joint': 1}",
        pictures=1,
        check="""
assert figures["sr/synthetic/faces"] == len(faces) == 8
assert cosine_similarity(gallery[:1], probe).shape == (4,)
""",
    ),
    "reading_a_sweep": Short(
        parameters="seeds, people = [1, 2], 20",
        pictures=3,
        check="""
assert [job.state.name for job in read_sweep(sweep).jobs] == ["finished"] * 4
assert results.keys() == intervals.keys() == {"0.0005", "0.002"}
assert all(of_seeds.keys() == {"1", "2"} for of_seeds in results.values())
assert all(low < mean < high for mean, _, low, high in intervals.values())
assert {key: len(each) for key, each in differences.items()} == dict.fromkeys(figures, 2)
assert failed.state.name == "failed" and "leave a split empty" in failed.state.message
""",
    ),
}


def test_every_notebook_is_run():
    assert {file.stem for file in NOTEBOOKS} == set(SHORT)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_no_outputs_are_committed(file):
    cells = nbformat.read(file, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_says_at_the_top_what_it_shows_and_for_how_long(file):
    first, *others = nbformat.read(file, as_version=4).cells
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "minute" in first.source
    assert [cell for cell in others if is_parameters(cell)] == others[:1]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs(file, tmp_path, monkeypatch):
    # Of two threads on cores that others use, one waits for the other at every step: several times as long.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    short = SHORT[file.stem]
    notebook = nbformat.read(file, as_version=4)
    place = next(number for number, cell in enumerate(notebook.cells) if is_parameters(cell))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(short.parameters))
    notebook.cells.append(nbformat.v4.new_code_cell(short.check))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == short.pictures
    assert all(output.output_type != "error" for output in outputs)


def is_parameters(cell):
    return "parameters" in cell.metadata.get("tags", [])
