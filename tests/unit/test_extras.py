"""Optional packages: one sentence where one is missing, with a command that installs it."""

import importlib.metadata
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rim_lightning.extras import EXTRAS, MissingExtra, extra_of, install_command, require_extra

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_package_is_one_sentence_with_a_command(extra, monkeypatch):
    for module in EXTRAS[extra]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as caught:
        require_extra(extra, "The thing")
    sentence = str(caught.value)
    assert sentence == f"The thing needs {EXTRAS[extra][0]}, which is not installed: {install_command(extra)}."
    assert caught.value.name == EXTRAS[extra][0]
    assert "\n" not in sentence


def test_the_first_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"^A gallery needs pyarrow, which"):
        require_extra("gallery", "A gallery")


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_command_names_an_extra_that_the_project_declares(extra):
    named = re.match(r"pip install 'rim-lightning\[(\w+)\]'", install_command(extra))
    assert named[1] == extra
    assert extra in DECLARED


def test_facenet_pytorch_is_installed_without_its_outdated_pins():
    assert install_command("mtcnn").endswith("&& pip install --no-deps facenet-pytorch==2.6.0")
    everything = [*PROJECT["dependencies"], *itertools.chain(*DECLARED.values())]
    assert not [requirement for requirement in everything if requirement.startswith("facenet")]


def test_a_package_of_several_extras_is_installed_by_the_smallest_one():
    assert extra_of("lancedb") == "gallery"
    assert extra_of("pyarrow") == "packed"
    assert extra_of("onnx") == "export"
    assert extra_of("numpy") is None


def test_the_check_imports_nothing():
    code = (
        "import sys; from rim_lightning.extras import EXTRAS, require_extra\n"
        "for extra in sys.argv[1:]: require_extra(extra, 'x')\n"
        "print(*sys.modules)"
    )
    checked = ["train", "wandb", "page", "gallery", "export", "packed", "slurm"]
    loaded = subprocess.run([sys.executable, "-c", code, *checked], capture_output=True, text=True, check=True).stdout
    modules = {module for extra in checked for module in EXTRAS[extra]}
    assert not modules & set(loaded.split())


def locked_versions():
    """Package -> its versions in constraints.txt."""
    versions = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, version = re.fullmatch(r"([a-z0-9-]+)==([^ ]+)(?: ; .+)?", line).groups()
        versions.setdefault(name, set()).add(version)
    return versions


def test_the_lock_has_a_version_of_every_requirement_and_no_address():
    locked = locked_versions()
    requirements = [Requirement(text) for text in itertools.chain(PROJECT["dependencies"], *DECLARED.values())]
    checked = [requirement for requirement in requirements if requirement.name != PROJECT["name"]]
    assert len(checked) > 30
    for requirement in checked:
        assert locked[requirement.name], requirement
        assert all(requirement.specifier.contains(version) for version in locked[requirement.name]), requirement


def test_the_checkout_has_the_detector_that_pip_cannot_install_as_an_extra():
    """`make` installs facenet-pytorch without its pins: it works with the torch and numpy of today."""
    require_extra("mtcnn", "The checkout")
    assert importlib.metadata.version("facenet-pytorch") == "2.6.0"
