"""How Sphinx makes the documentation site from the Markdown files of the repository: ``make docs``."""

import sys
from pathlib import Path

from popeq import __version__

sys.path.insert(0, str(Path(__file__).resolve().parent / "_site"))

project = "popeq"
author = "The popeq maintainers"
project_copyright = f"{author}, MIT licence"
release = __version__
language = "en"

# The source folder is the repository, so that README.md, CONTRIBUTING.md and the boards are pages, and
# every link between them is checked.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "leaderboard/README.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "benchmark",
    "plugins",
    "datasets",
    "tests",
    "runs",
    "leaderboard/results",
]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_reference"]

# Headings have the anchors that hosts of repositories give them. A link to nothing is a warning, and warnings
# end the build.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block"]
highlight_language = "text"
toc_object_entries = False
smartquotes = False  # -- is how options begin

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Floats", "Kind")}
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "popeq"
html_static_path = ["_site/static"]
templates_path = ["_site/templates"]
html_css_files = ["popeq.css"]
html_additional_pages = {"index": "start.html"}
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it is fetched, which a browser does not do from a file
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "popeq"},
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "collapse_navigation": True,
    "navigation_depth": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"README": [], "docs/index": []}
