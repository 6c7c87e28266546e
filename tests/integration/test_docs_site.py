"""The documentation builds without a warning, and a broken link in it does not."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", *DOCS.rglob("*.md")])
BROKEN = {
    "[a page](no_such_page.md)": "no_such_page.md",
    "[a heading](metrics.md#no-such-heading)": "no-such-heading",
    "[a heading of this page](#nor-this-one)": "nor-this-one",
    "[a file of the repository](../src/no_such_file.py)": "../src/no_such_file.py",
    "![a picture](no_such_picture.png)": "no_such_picture.png",
}


WITHOUT_EXECUTION = ("-D", "nb_execution_mode=off")  # test_notebooks.py executes them


def build(docs: Path, site: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", *options]
    return subprocess.run([*command, str(docs), str(site)], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_to_files(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


def test_the_pictures_that_the_readme_compares_are_a_probe_and_a_portrait_of_the_demo():
    paths = re.findall(r"docs/example/\w+\.png", (REPOSITORY / "README.md").read_text())
    sizes = []
    for path in paths:
        with Image.open(REPOSITORY / path) as picture:
            sizes.append(picture.size)
    assert sizes == [(8, 8), (64, 64)]


def test_the_readme_is_short():
    """Two screens: what does not fit belongs to a page of the documentation."""
    start, _, _ = (REPOSITORY / "README.md").read_text().partition("\n## Read on")
    assert len(start.splitlines()) <= 120


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    paper = citation["preferred-citation"]
    names = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    bibtex = (REPOSITORY / "README.md").read_text().partition("```\n@article")[2]
    for value in (names, paper["title"], str(paper["year"]), paper["journal"]):
        assert f"{{{value}}}" in bibtex


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    done = build(DOCS, tmp_path, *WITHOUT_EXECUTION)
    assert done.returncode == 0, done.stderr
    for page in ("index", "configuration", "method", "model_card", "tables/table_3", "api/recognizer"):
        assert (tmp_path / f"{page}.html").is_file()
    notebooks = {file.stem for file in (DOCS.parent / "notebooks").glob("*.ipynb")}
    assert notebooks == {file.stem for file in (tmp_path / "notebooks").glob("*.html")} != set()
    assert "train(cfg)" in text_of(tmp_path / "notebooks" / "quickstart.html")
    assert "squared multi-kernel" in (tmp_path / "api" / "functional.html").read_text().lower()


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


@pytest.mark.slow
def test_the_outputs_of_a_notebook_are_shown_and_a_cell_that_fails_stops_the_build(tmp_path):
    copy = tmp_path / "docs"
    copy.mkdir()
    shutil.copytree(DOCS / "_static", copy / "_static")
    shutil.copy(DOCS / "conf.py", copy)  # its cache lies beside the copy
    cell = nbformat.v4.new_code_cell("import sys\nprint('a warning', file=sys.stderr)\nprint(6 * 7)")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Sum"), cell])
    nbformat.write(notebook, copy / "sum.ipynb")
    done = build(copy, tmp_path / "site", "-D", "root_doc=sum")
    assert done.returncode == 0, done.stderr
    text = text_of(tmp_path / "site" / "sum.html")
    assert re.search(r"\b42\b", text)
    assert text.count("a warning") == 1  # the code alone, not what it printed

    cell.source = "print(6 / 0)"
    nbformat.write(notebook, copy / "sum.ipynb")
    done = build(copy, tmp_path / "site", "-D", "root_doc=sum")
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr


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
