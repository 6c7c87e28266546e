"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import rim_lightning

SOURCE = Path(rim_lightning.__file__).parent
MODULES = [file for file in sorted(SOURCE.rglob("*.py")) if ">>> " in file.read_text()]
FEWEST = 20  # examples in all: what is lost by accident is missed


def examples_of(file: Path) -> list[doctest.DocTest]:
    name = ".".join(("rim_lightning", *file.relative_to(SOURCE).with_suffix("").parts))
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    return [test for test in found if test.examples]


def test_there_are_examples():
    assert sum(len(examples_of(file)) for file in MODULES) >= FEWEST


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_examples(file):
    tests = examples_of(file)
    assert tests, "an example that no docstring holds"
    for test in tests:
        report: list[str] = []
        failed, _ = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        assert not failed, "".join(report)
