"""Size of functions: at most 60 lines and a cyclomatic complexity of 15."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
assert SOURCES
MOST_LINES = 60  # docstring included, decorators not
MOST_COMPLEX = 15


def lengths(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function, nested ones and methods too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def test_functions_are_short():
    long = {
        f"{file.relative_to(ROOT)} {name}": lines
        for file in SOURCES
        for name, lines in lengths(ast.parse(file.read_text()))
        if lines > MOST_LINES
    }
    assert not long


def test_functions_are_simple():
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "C901" in lint["select"]
    assert lint["mccabe"]["max-complexity"] <= MOST_COMPLEX
    assert not [str(file) for file in SOURCES if "C901" in file.read_text()], "the rule is switched off in a file"
    assert "C901" not in chain(lint["ignore"], *lint["per-file-ignores"].values())
    command = [sys.executable, "-m", "ruff", "check", "--select", "C901", "--output-format", "concise", "src"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("lines", [MOST_LINES, MOST_LINES + 1])
def test_a_planted_long_function_is_found(lines):
    body = "\n".join(["        x = 1"] * (lines - 1))
    planted = ast.parse(f"class A:\n    @decorated\n    def long(self):\n{body}\n\n    async def short(self): ...")
    assert dict(lengths(planted)) == {"long": lines, "short": 1}
