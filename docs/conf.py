"""How `make docs` turns these pages and the docstrings into a site: Sphinx, with MyST for Markdown."""

import sys
from pathlib import Path

import regard.serving.app  # noqa: F401  (autodoc would import FastAPI as type checkers do, which fails)
from regard import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "regard"
author = "The regard developers"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "commands",
    "mathml",
]
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "_extensions"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of torch, NumPy and JAX have no page here
suppress_warnings = ["ref.python"]  # a type may have the name of two classes: `Score`
myst_heading_anchors = 4  # links to headings work as they do on the forge

# The reference: docstrings are Markdown-like, and a single backtick is code.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/regard-attention/regard/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
