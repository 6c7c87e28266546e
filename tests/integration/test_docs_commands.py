"""Commands and files that the documentation names exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR

REPOSITORY = Path(__file__).parents[2]
LEFT_OUT = {"changelog.md", "configuration.md"}  # old names too; made of conf/, whose examples have a test of their own
PAGES = [
    REPOSITORY / "README.md",
    *(page for page in sorted((REPOSITORY / "docs").glob("*.md")) if page.name not in LEFT_OUT),
]
CONFIGS = {path.stem for path in CONF_DIR.glob("*.yaml")}
FILE = re.compile(r"(?<![\w./<])(?:tests|benchmarks|conf|docs|notebooks|src)/[\w./-]+\.(?:py|yaml|ipynb)\b")


def commands(page: Path) -> Iterator[str]:
    """Commands of Hydra on a page, in blocks and in the text; those with placeholders are left out."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(rim-[^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    for line in [*lines, *(" ".join(each.split()) for each in inline)]:
        line = line.removeprefix("srun ").removeprefix("# ")
        name = line.partition(" ")[0].removeprefix("rim-")
        if line.startswith("rim-") and name in CONFIGS and not re.search(r"[…<]|--help|--cfg|--config-dir", line):
            yield line


def cases() -> list:
    found = {(page.name, line) for page in PAGES for line in commands(page)}
    return [pytest.param(line, id=f"{page}: {line[:70]}") for page, line in sorted(found)]


@pytest.mark.parametrize("line", cases())
def test_a_command_names_settings_that_exist(line):
    command, *overrides = shlex.split(line, comments=True)
    overrides = [word for word in overrides if word != "-m" and not word.startswith("hydra/")]
    config = command.removeprefix("rim-")
    swept = [each for each in overrides if not re.match(r"hydra\.(launcher|sweeper|sweep)\.", each)]
    # Of a sweep its first job: a value with commas outside of brackets becomes the first of its values.
    first = [re.sub(r"^([\w.]+=)([^\[{(,]+),.*$", r"\1\2", each) for each in swept]
    settled = [each for each in first if "=tag(" not in each and not each.startswith("hydra.run.dir=")]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose(config, overrides=settled)  # raises for a name that is not there
    if config in ("train", "eval") and composed.get("evaluate", True):
        plan = OmegaConf.to_container(composed.evaluation, resolve=False)
        measured = plan["sr"]["sets"], plan["sr"]["root"], plan["lfw"]["root"], plan["identities"], plan["packs"]
        assert any(measured), "this run would end with: nothing is to be measured"


def test_there_are_commands():
    assert len(cases()) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    missing = {name for name in FILE.findall(page.read_text()) if not (REPOSITORY / name).exists()}
    own = {name for name in missing if f"mine/{name}" in page.read_text()}  # of an example
    assert not missing - own
