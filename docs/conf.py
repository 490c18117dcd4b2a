"""How `make docs` turns the pages of this folder into HTML: Sphinx, with MyST for Markdown."""

from regard import __version__

project = "regard"
author = "The regard developers"
copyright = author
release = version = __version__

extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False

exclude_patterns = ["_build"]
myst_heading_anchors = 4  # links to headings work as they do on the forge
nitpicky = True
