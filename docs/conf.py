"""How Sphinx builds the site: `make docs`."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

import rim_lightning

project = "rim-lightning"
release = version = rim_lightning.__version__
copyright = "the rim-lightning authors, MIT license"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # the same names as GitHub gives to headings
suppress_warnings = ["myst.header"]  # the tables in docs/tables begin at the second level, as rim-compare writes them

# Sphinx reads this folder alone, so it gets a copy of the notebooks.
NOTEBOOKS = Path(__file__).with_name("notebooks")
shutil.rmtree(NOTEBOOKS, ignore_errors=True)
if (SOURCE := Path(__file__).parents[1] / "notebooks").is_dir():
    shutil.copytree(SOURCE, NOTEBOOKS)

# Notebooks are committed without outputs. They are executed here, and again when their code changes or when
# outputs/notebooks is removed. A cell that fails is a warning, which `make docs` takes as an error.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parents[1] / "outputs" / "notebooks")
nb_execution_timeout = 900  # seconds of a cell
nb_execution_show_tb = True
nb_merge_streams = True  # what a cell prints is one block, however it is written
nb_output_stderr = "remove"  # warnings of packages

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
highlight_language = "none"  # of blocks that do not say theirs
default_role = "py:obj"  # `name` in a docstring: a link where the name has a page, else code
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, as of arguments

html_theme = "furo"
html_title = "rim-lightning"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False


def link_to_the_copies(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to notebooks lead to their pages."""
    source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", link_to_the_copies)
