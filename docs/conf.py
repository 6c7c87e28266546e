"""How Sphinx builds the site: `make docs`."""

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
