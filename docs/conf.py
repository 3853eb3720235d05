"""Sphinx settings. Build with ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import sys
from pathlib import Path

import matplotlib

import popglm

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE / "pictures")]

matplotlib.use("agg")
matplotlib.rcParams["figure.dpi"] = 100

# a maker of terms is a class under a function's name; autodoc would call it an alias and document nothing
for name in popglm.__all__:
    maker = getattr(popglm, name)
    if isinstance(maker, type) and maker.__name__ != name:
        maker.__name__ = maker.__qualname__ = name

project = "popglm"
author = "The popglm developers"
copyright = author
version = release = popglm.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "tutorials",
    "coming_from",
    "pictures",
    "_ext",
]  # the galleries' sources; pages are under generated/
rst_prolog = ".. currentmodule:: popglm\n"
default_role = "py:obj"  # `GLM` in a docstring is a link where there is a page, and code where there is none

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types
numpydoc_show_class_members = False  # the class template lists them
numpydoc_attributes_as_param_list = True

sphinx_gallery_conf = {
    "examples_dirs": ["tutorials", "coming_from"],
    "gallery_dirs": ["generated/tutorials", "generated/coming_from"],
    "within_subsection_order": "ExampleTitleSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("popglm",),
    "reference_url": {"popglm": None},
    "min_reported_time": 0,
    "show_memory": False,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "write_computation_times": False,
    "parallel": 2,  # tutorials run beside each other
    "show_signature": False,
    "capture_repr": ("_repr_html_",),  # tables, but neither fitted models nor Axes
    "ignore_repr_types": r"matplotlib|popglm",
}

html_math_renderer = "mathml"
plot_basedir = str(HERE)  # the picture of each function of popglm.plot is made by pictures/NAME.py
plot_formats = [("png", 110)]
plot_html_show_formats = False
plot_html_show_source_link = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["popglm.css"]
html_title = f"popglm {release}"
html_theme_options = {
    "logo": {"text": "popglm"},
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
# only the reference and the guide are long enough for a second navigation; code and figures need the room
wide = (
    *("index", "concepts", "troubleshooting", "how_popglm_fits", "benchmarks", "features", "api", "development"),
    *("generated/tutorials/*", "generated/coming_from/*"),
)
html_sidebars = {page: [] for page in wide}
html_show_sourcelink = False
