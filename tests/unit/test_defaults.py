"""A default lives once: in the YAML file or in the signature, not in both."""

import inspect
import pydoc
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR

EXPERIMENTS = sorted(file.stem for file in (CONF_DIR / "experiment").glob("*.yaml"))
OFF = (None, 0, 0.0, False, "", ())  # such a default only says that a thing is absent


def repeated(node, path=""):
    """(dotted setting, target) of every argument that is set and has a default of its own.

    Networks are built from mappings without `_target_`. A checkpoint names only the arguments that its configuration
    gave, so their defaults belong to the file format.
    """
    if isinstance(node, list):
        for part in node:
            yield from repeated(part, path)
    if not isinstance(node, dict):
        return
    target = node.get("_target_") or node.get("function")
    if isinstance(target, str) and target.startswith("rim_lightning."):
        for name, parameter in inspect.signature(pydoc.locate(target)).parameters.items():
            has_default = parameter.default is not parameter.empty and parameter.default not in OFF
            if name in node and has_default:
                yield f"{path}.{name}", target
    for name, part in node.items():
        yield from repeated(part, f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_setting_of_an_experiment_has_a_second_default(name):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        overrides = [f"experiment={name}", "paths.output_dir=unused", "logger=wandb", "sources={}"]
        settings = OmegaConf.to_container(compose("train", overrides=overrides), resolve=True)
    settings.pop("sources")  # where a file counts pixels from differs from set to set
    assert list(repeated(settings)) == []


@pytest.mark.parametrize("file", sorted((CONF_DIR / "launcher").glob("*.yaml")), ids=lambda file: file.stem)
def test_no_setting_of_a_launcher_has_a_second_default(file: Path):
    assert list(repeated(yaml.safe_load(file.read_text()))) == []


def test_a_second_default_is_noticed():
    node = {"a": [{"_target_": "rim_lightning.files.whole_file", "path": "x"}]}
    assert list(repeated(node)) == []
    node = {"a": [{"_target_": "rim_lightning.data.readers.folder.read_folder", "root": "x", "first_pixel": 0.0}]}
    assert list(repeated(node)) == [("a.first_pixel", "rim_lightning.data.readers.folder.read_folder")]
