"""How Sphinx makes the site of this folder: ``make docs``, into build/docs. It opens no connection."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# A library that finds no Hub would otherwise wait for it; nothing here needs one.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from logitmix_hf import __version__

project = "logitmix_hf"
author = "The logitmix_hf developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_flags",  # these two in _ext
    "docstrings",
]
exclude_patterns = ["_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# --- what is wrong ends the build ------------------------------------------------------------------------------------

nitpicky = True  # a name that leads nowhere is a warning, and `make docs` takes warnings as errors

smartquotes = False  # --flags keep their two dashes

# --- Markdown --------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # the anchors of a code host

# --- docstrings ------------------------------------------------------------------------------------------------------

napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Differences from ``Trainer``"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False

# --- looks -----------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True


def setup(app):  # Sphinx calls it
    from pygments.lexers.special import TextLexer

    app.add_lexer("csv", TextLexer)
