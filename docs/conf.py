"""How Sphinx makes the documentation site: ``make docs``; the pages are the Markdown files of the repository."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_site"))

from popeq import __version__

project = "popeq"
author = "The popeq maintainers"
copyright = f"{author}, MIT licence"
release = __version__
language = "en"

# The source folder is the repository, so that README.md, CONTRIBUTING.md and the boards are pages and every link
# between them is checked.
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

# Headings are linked as on the hosts of repositories; a link to nothing is a warning, and warnings end the build.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
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
