"""The documentation builds without a warning, and a broken link in it does not."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", *DOCS.rglob("*.md")])
BROKEN = {
    "[a page](no_such_page.md)": "no_such_page.md",
    "[a heading](metrics.md#no-such-heading)": "no-such-heading",
    "[a heading of this page](#nor-this-one)": "nor-this-one",
    "[a file of the repository](../src/no_such_file.py)": "../src/no_such_file.py",
    "![a picture](no_such_picture.png)": "no_such_picture.png",
}


def build(docs: Path, site: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", *options]
    return subprocess.run([*command, str(docs), str(site)], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_to_files(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    for page in ("index", "configuration", "method", "model_card", "tables/table_3", "api/recognizer"):
        assert (tmp_path / f"{page}.html").is_file()
    assert "squared multi-kernel" in (tmp_path / "api" / "functional.html").read_text().lower()


@pytest.mark.slow
def test_broken_links_fail_by_name(tmp_path):
    copy = tmp_path / "docs"
    copy.mkdir()
    shutil.copytree(DOCS / "_static", copy / "_static")
    for name in ("conf.py", "metrics.md"):
        shutil.copy(DOCS / name, copy)
    only_that = ("-D", "root_doc=metrics")
    done = build(copy, tmp_path / "site", *only_that)
    assert done.returncode == 0, done.stderr

    with open(copy / "metrics.md", "a") as page:
        page.write("\n".join(["", *BROKEN, ""]))
    done = build(copy, tmp_path / "site", *only_that)
    assert done.returncode != 0
    for name in BROKEN.values():
        assert any("WARNING" in line and name in line for line in done.stderr.splitlines()), f"{name}: {done.stderr}"
