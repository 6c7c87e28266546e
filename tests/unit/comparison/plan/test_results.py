"""Results of another version are refused before anything is trained; those of this one are used."""

import json

import pytest

from rim_lightning.comparison.plan.results import FORMAT, check_results, open_results
from rim_lightning.comparison.run import compare
from tests.helpers.configurations import configuration, training_configuration


def test_a_new_folder_records_its_format(tmp_path):
    folder = tmp_path / "results"
    check_results(folder)
    open_results(folder)
    (folder / "runs").mkdir()
    check_results(folder)
    assert json.loads((folder / "results.json").read_text()) == {"format": FORMAT}
    open_results(folder)


def test_runs_without_a_format_are_of_version_0_1(tmp_path):
    (tmp_path / "embeddings").mkdir()
    check_results(tmp_path)  # no runs: what is kept by content fits any version
    (tmp_path / "runs").mkdir()
    with pytest.raises(
        ValueError, match=r"\(format 1, this one writes 2\): choose another paths.results_dir, or remove"
    ):
        check_results(tmp_path)


def test_another_format_is_refused(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "results.json").write_text('{"format": 3}')
    with pytest.raises(ValueError, match="format 3"):
        check_results(tmp_path)


def test_rim_compare_refuses_old_results_at_once(tmp_path):
    (tmp_path / "results" / "runs" / "0123456789abcdef").mkdir(parents=True)
    places = [f"paths.{name}_dir={tmp_path / name}" for name in ("data", "results", "prepared", "output")]
    cfg = configuration("compare", ["table=3", "protocol=synthetic", *places])
    with pytest.raises(ValueError, match="results of another version of rim-lightning"):
        compare(cfg, training_configuration)
    assert not (tmp_path / "prepared").exists()
    assert not (tmp_path / "results" / "results.json").exists()
