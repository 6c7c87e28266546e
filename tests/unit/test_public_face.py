"""Names that a user imports from the package itself."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rim_lightning

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_names_are_those_of_their_modules():
    from rim_lightning import Recognizer, load_rim
    from rim_lightning.inference import recognizer
    from rim_lightning.networks import checkpoints

    assert Recognizer is recognizer.Recognizer
    assert load_rim is checkpoints.load_rim


def test_a_name_is_imported_on_first_use():
    code = """
import sys, rim_lightning
def state():
    return "torch" in sys.modules, "Recognizer" in vars(rim_lightning)
assert state() == (False, False)
assert set(rim_lightning.__all__) <= set(dir(rim_lightning))
assert state() == (False, False)
rim_lightning.Recognizer
assert state() == (True, True)
"""
    python(code)


def test_importing_the_package_loads_only_a_few_modules_of_python_itself():
    code = "import sys, importlib, typing; before = set(sys.modules); import rim_lightning; "
    assert python(code + "print(*sorted(set(sys.modules) - before))").split() == ["rim_lightning"]


def test_a_star_import_takes_the_public_names():
    names = python("from rim_lightning import *; print(Recognizer.__name__, load_rim.__name__, __version__)").split()
    assert names == ["Recognizer", "load_rim", rim_lightning.__version__]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'rim_lightning' has no attribute 'Recogniser'"):
        rim_lightning.Recogniser  # noqa: B018  the access is what is tested
    with pytest.raises(ImportError, match="cannot import name 'Recogniser'"):
        exec("from rim_lightning import Recogniser")
    assert not hasattr(rim_lightning, "__path_of_nothing__")


def test_the_version_stands_once(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert rim_lightning.__version__ == importlib.metadata.version("rim-lightning") == project["version"]
    sources = [file for file in (ROOT / "src").rglob("*.py") if f'"{project["version"]}"' in file.read_text()]
    assert not sources

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.delitem(vars(rim_lightning), "__version__")
    assert rim_lightning.__version__ == "unknown"
    monkeypatch.delitem(vars(rim_lightning), "__version__")


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "src/rim_lightning/py.typed").read_bytes() == b""


@pytest.mark.slow
def test_mypy_sees_both_names(tmp_path):
    user = tmp_path / "user.py"
    user.write_text(
        "from rim_lightning import Recognizer, __version__, load_rim\n"
        "reveal_type((Recognizer, load_rim, __version__))\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(user)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    reported = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True).stdout
    (revealed,) = (line for line in reported.splitlines() if "Revealed type" in line)
    assert "rim_lightning.inference.recognizer.Recognizer" in revealed
    assert "-> rim_lightning.networks.rim.RIM" in revealed
    assert "str]" in revealed
    assert "Any" not in revealed
