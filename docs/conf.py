"""How Sphinx builds the site from these pages: `make docs`, without network; warnings are errors."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

project = "jaxaimc"
author = "The jaxaimc authors"
project_copyright = author
version = release = installed_version("jaxaimc")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "components",
    "docstrings",
    "mathematics",
    "reference",
]
exclude_patterns = ["_extensions"]

# Pages are also read where the code is hosted: formulas, anchors and links are those that work in both places.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

# Names in backticks are code, in docstrings as on pages.
default_role = "literal"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_title = "jaxaimc"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "navbar_persistent": [],  # the search field has its place in the side bar
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
