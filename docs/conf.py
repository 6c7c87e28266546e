"""How Sphinx builds the site: `make docs`."""

import inspect
import re

import rim_lightning

project = "rim-lightning"
release = version = rim_lightning.__version__
copyright = "the rim-lightning authors, MIT license"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # the same names as GitHub gives to headings
suppress_warnings = ["myst.header"]  # the tables in docs/tables begin at the second level, as rim-compare writes them

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


def _tidy_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Several arguments or attributes on a line become one a line, and |x| no substitution of reStructuredText."""
    names = "|".join(sorted(_argument_names(obj), key=len, reverse=True)) or "$."
    start = rf"(?<=[.…] )(?=(?:{names})(?:, (?:{names}))*: |\w+Error: )"
    if lines and lines[0].startswith("Attributes:"):  # of a tuple: nothing stands above them
        text = " ".join(line.strip() for line in lines).removeprefix("Attributes:").strip()
        items = re.split(rf"{start}|(?<=\. )(?=(?:{names})\. )", text)
        lines[:] = ["Attributes:", *(f"    {item}" for item in items)]
    in_section = False
    for number, line in enumerate(lines):
        in_section = line in ("Args:", "Attributes:", "Raises:") or (in_section and line.startswith(" "))
        if in_section:
            indent = " " * (len(line) - len(line.lstrip()))
            lines[number] = re.sub(start, f"\n{indent}", line)
    lines[:] = [line.replace("|", r"\|") if "`" not in line else line for line in "\n".join(lines).split("\n")]


def _argument_names(obj: object) -> set[str]:
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def setup(app) -> None:
    """Hooks of this site."""
    app.connect("autodoc-process-docstring", _tidy_docstring, priority=400)  # before napoleon
