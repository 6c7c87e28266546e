"""Settings that Hydra cannot read get a sentence that shows how to write them."""

import shlex
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rim_lightning.commands.hydra_command import check_overrides
from tests.helpers.commands import run_here


@pytest.mark.parametrize("value", ["/data/a=b", "/data/jos\u00e9", "/a#b", "/a(b)", "it's", "[a"])
def test_the_advice_is_a_setting_with_that_value(value):
    with pytest.raises(ValueError, match="the value cannot be read") as caught:
        check_overrides(["seed=1", f"paths.data_dir={value}"])
    (word,) = shlex.split(str(caught.value).partition("write ")[2].rpartition("; otherwise")[0])
    assert str(OverridesParser.create().parse_override(word).value()) == value


@pytest.mark.parametrize("text", ["nonsense", "a b=c", "\u00e9=1"])
def test_what_is_no_setting_is_named(text):
    with pytest.raises(ValueError, match=f"^{text} is no setting; write <name>=<value>.$"):
        check_overrides([text])


@pytest.mark.parametrize("value", ["null", "3", "true", "{epochs: 1}"])
def test_a_group_that_is_given_no_name_is_told_its_choices(value):
    with pytest.raises(ValueError, match=r"^teacher=.*; choose teacher=<published or random or trained>\.$"):
        check_overrides([f"teacher={value}"])


def test_a_choice_that_does_not_exist_is_refused_with_the_nearest_one(tmp_path):
    done = run_here("train", "teacher=publishd", "experiment=demo", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "rim-train: Could not find 'teacher/publishd': did you mean teacher=published?\n"


def test_options_may_stand_between_and_behind_settings(tmp_path):
    words = [sys.executable, "-m", "rim_lightning.commands.train", "experiment=demo", "--cfg", "job", "seed=7"]
    done = subprocess.run([*words, "--package", "seed"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("7\n")


def test_settings_that_hydra_reads_pass():
    check_overrides(
        ["seed=1,2", "~callbacks.best", "+a={b: [1, 2]}", "x='a=b'", "lr=tag(log,interval(1e-4,1e-2))", "y="]
    )


def test_a_folder_that_hydra_would_resolve_is_named(tmp_path):
    folder = tmp_path / "${x}"
    folder.mkdir()
    for command in ("train", "speed"):
        done = run_here(command, "seed=1", cwd=folder)
        assert done.returncode == 1
        assert f'rim-{command}: {folder} holds "${{", which Hydra reads as a reference' in done.stderr


def test_help_may_be_cut_off_by_head():
    """The settings of rim-train are longer than a pipe holds, and nobody reads on."""
    command = [sys.executable, "-m", "rim_lightning.commands.train", "--cfg", "job"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 130
