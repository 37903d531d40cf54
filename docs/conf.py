"""How the documentation is built: `make docs`, into docs/site."""

from importlib.metadata import version as installed

project = "snerv-codec"
author = copyright = "the snerv-codec maintainers"
version = release = installed("snerv-codec")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["site"]
html_theme = "furo"
html_title = f"snerv-codec {version}"
html_show_sphinx = False

default_role = "code"  # docstrings put names between single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
myst_heading_anchors = 3
# The hexdump of the specification has comments, which no lexer knows.
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]
