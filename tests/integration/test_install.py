"""The wheel, installed into an empty environment, away from the checkout."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from rim_lightning.extras import EXTRAS
from tests.integration.test_cli import model_folder

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
EXAMPLE = [ROOT / "docs" / "example" / name for name in ("probe.png", "portrait.png")]
NO_NETWORK = re.compile(r"dns error|error sending request|Failed to (fetch|resolve)|timed out|Connection")
SCRIPTS = "Scripts" if os.name == "nt" else "bin"

pytestmark = pytest.mark.slow


def uv(*words, **more):
    """Run uv, which `make` installs. Skip the test where PyPI cannot be reached."""
    call = [sys.executable, "-m", "uv", *map(str, words)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=1200, **more)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip(f"PyPI cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def away(tmp_path_factory):
    """A folder that is not the checkout, with a model."""
    folder = tmp_path_factory.mktemp("away")
    model_folder(folder / "model")
    return folder


def environment(folder, requirement):
    """An environment that holds a requirement and what it needs, in the versions of the lock."""
    uv("venv", "--quiet", "--python", sys.executable, folder)
    python = folder / SCRIPTS / Path(sys.executable).name
    uv("pip", "install", "--quiet", "--python", python, "--constraint", CONSTRAINTS, requirement)
    return folder / SCRIPTS


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory):
    """The commands of a plain `pip install rim_lightning-….whl`."""
    return environment(tmp_path_factory.mktemp("base"), f"rim-lightning @ {wheel.as_uri()}")


@pytest.fixture(scope="module")
def train(wheel, tmp_path_factory):
    """The commands of the wheel with its extra "train"."""
    return environment(tmp_path_factory.mktemp("train"), f"rim-lightning[train] @ {wheel.as_uri()}")


def run(scripts, away, command, *words):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    call = [str(scripts / command), *map(str, words)]
    return subprocess.run(call, cwd=away, env=variables, capture_output=True, text=True, timeout=600)


def succeed(*call, codes=(0,)):
    done = run(*call)
    assert done.returncode in codes, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_wheel_has_code_settings_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "src", "conf"], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = {
        re.sub("^conf/", "rim_lightning/conf/", file).removeprefix("src/") for file in tracked.stdout.splitlines()
    }
    assert expected <= names
    others = {name for name in names - expected if ".dist-info/" not in name}
    assert not others


def test_the_source_archive_has_what_the_tests_need(wheel):
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "conf/train.yaml"} <= names
    assert {"tests/integration/test_install.py", "docs/example/probe.png"} <= names
    assert not [name for name in names if name.startswith((".venv", "outputs", "prepared"))]


def test_the_base_install_verifies(base, away):
    assert "verify" in succeed(base, away, "rim", "--help")
    verify = ("verify", "-m", "model", *EXAMPLE, "--aligned", "--far", "1e-2", "--json")
    answer = json.loads(succeed(base, away, "rim", *verify, codes=(0, 1)))
    here = subprocess.run([sys.executable, "-m", "rim_lightning", *map(str, verify)], cwd=away, capture_output=True)
    assert answer["similarity"] == pytest.approx(json.loads(here.stdout)["similarity"], abs=1e-5)
    searched = succeed(
        base, away, "rim", "verify", "-m", "model", EXAMPLE[1], EXAMPLE[1], "--far", "1e-2", codes=(0, 1)
    )
    assert "for a probe of" in searched  # the detector is in the wheel
    assert "RIM, 8 -> 32 px" in succeed(base, away, "rim", "info", "model")
    if (ROOT / "src" / "rim_lightning" / "inference" / "shipped").is_dir():
        assert "the model that comes with the package" in succeed(base, away, "rim", "info")
        assert "similarity" in succeed(base, away, "rim", "verify", *EXAMPLE, "--aligned", codes=(0, 1))
    else:
        assert "Missing argument 'MODEL'" in run(base, away, "rim", "info").stderr
    succeed(base, away, "rim", "hallucinate", "-m", "model", EXAMPLE[0], "face.png", "--aligned")


def test_the_base_install_has_no_package_of_an_extra(base, away):
    code = f"from importlib.util import find_spec; print([name for name in {sorted(packages())} if find_spec(name)])"
    assert succeed(base, away, Path(sys.executable).name, "-c", code).strip() == "[]"


def packages():
    return {module for modules in EXTRAS.values() for module in modules} | {"scipy", "sklearn", "pandas", "yaml"}


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("rim export last.ckpt new", "export"),
        ("rim page -m nothing", "page"),
        ("rim enroll -m nothing -i index people", "gallery"),
        ("rim identify -m nothing -i index probe.png", "gallery"),
        ("rim forget -i index ana", "gallery"),
        ("rim-pack nothing packed", "packed"),
        ("rim-sweep status nothing", "train"),
        ("rim-train --help", "train"),
        ("rim-train experiment=demo", "train"),
        ("rim-prepare --help", "train"),
        ("rim-eval --help", "train"),
        ("rim-embed --help", "train"),
        ("rim-compare --help", "train"),
        ("rim-speed --help", "train"),
    ],
)
def test_a_missing_extra_is_one_sentence_before_anything_else(command, extra, base, away):
    done = run(base, away, *command.split())
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    sentence = rf"\S+: .* needs \S+, which is not installed: pip install 'rim-lightning\[{extra}\]'\.\n"
    assert re.fullmatch(sentence, done.stderr)


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_a_message_recommends_can_be_installed(extra, base):
    """The package itself is there already: the extra is looked up in what is installed."""
    python = base / Path(sys.executable).name
    planned = ("pip", "install", "--dry-run", "--quiet", "--python", python, f"rim-lightning[{extra}]")
    uv(*planned)


def test_the_extra_for_training_trains(train, away):
    assert "_target_: rim_lightning.training.rim_module.RIMModule" in succeed(
        train, away, "rim-train", "experiment=demo", "--cfg", "job"
    )
    settings = ["experiment=demo", "data.people=40", "workers=0", "trainer.fast_dev_run=true", "hydra.run.dir=run"]
    succeed(train, away, "rim-train", *settings)
    tracked = run(train, away, "rim-train", *settings[:-1], "hydra.run.dir=tracked", "logger=wandb")
    assert tracked.returncode == 1
    assert "logger=wandb needs wandb, which is not installed: pip install 'rim-lightning[wandb]'." in tracked.stderr
    assert not (away / "tracked" / "state.json").exists()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("extras", ["", "[all]"])
def test_every_python_finds_versions_that_fit_together(extras, python, wheel, tmp_path):
    requirements = tmp_path / "requirements.in"
    requirements.write_text(f"rim-lightning{extras} @ {wheel.as_uri()}\n")
    found = uv("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", python, requirements)
    assert "torch==" in found
    assert ("pytorch-lightning==" in found) == bool(extras)


@pytest.mark.parametrize(("platform", "python"), [("linux", "3.13"), ("macos", "3.11"), ("windows", "3.12")])
def test_the_lock_fits_every_system(platform, python):
    macos = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # the oldest one that torch has wheels for
    words = ["--python-platform", platform, "--python-version", python, "--constraint", CONSTRAINTS, "--all-extras"]
    found = uv(
        "pip", "compile", "--quiet", "--no-header", "--no-annotate", *words, "pyproject.toml", env=os.environ | macos
    )
    locked = {line.partition(" ;")[0] for line in CONSTRAINTS.read_text().splitlines()}
    assert set(found.splitlines()) <= locked  # every package has a line, also where only this system needs it
