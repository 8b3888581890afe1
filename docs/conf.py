"""Sphinx's settings: which pages, which theme, how docstrings are read.

Owns: the settings, and the stand-in for PySR, so that the site is built without Julia.  Does not own: pages that are
made from sources (`from_sources`), their order (`index.md`).
"""

import inspect
import sys
import tomllib
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), *(str(ROOT / each) for each in (".", "python_baseline", "training", "benchmarks"))]

import from_sources  # noqa: E402

about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project = "pysr_neural"
version = release = about["version"]
copyright = "the authors of pysr_neural, MIT licence"
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = False

# Docstrings: NumPy's sections; a name in single backquotes is a link where it is known.
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # Its own style loses the underscore of `equations_`.
napoleon_preprocess_types = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {
    "members": True,
    "exclude-members": "set_fit_request, set_predict_request, set_score_request",  # Of scikit-learn's site.
}
python_maximum_signature_line_length = 88
add_module_names = False
suppress_warnings = [
    "ref.python",  # Two classes may have an attribute of one name; which is meant is told by the text.
]

html_theme = "furo"
html_title = "pysr_neural"
html_show_sphinx = False
html_show_copyright = False


def stand_in_for_pysr() -> ModuleType:
    """Return a module in PySR's place: importing the real one starts Julia, which a site does not need."""

    class PySRRegressor:
        """PySR's estimator."""

        def __init__(self, model_selection: str = "best", **parameters: Any) -> None: ...

        def fit(self, X: Any, y: Any, **options: Any) -> Any: ...

        def _run(self, *args: Any, **options: Any) -> Any: ...

        @classmethod
        def from_file(cls, *args: Any, **options: Any) -> Any: ...

    module = ModuleType("pysr")
    module.PySRRegressor = PySRRegressor  # type: ignore[attr-defined]
    return module


sys.modules["pysr"] = stand_in_for_pysr()


def signature_of_constructor(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """Show a dataclass by its fields, also where `__new__` refuses unknown ones by name and so takes anything."""
    if what != "class" or not is_dataclass(thing) or "__new__" not in vars(thing):
        return None
    parameters = list(inspect.signature(thing.__init__).parameters.values())[1:]
    return stringify_signature(inspect.Signature(parameters)), None


def setup(app: Any) -> None:
    """Make the pages that come from sources before Sphinx looks for pages."""
    from_sources.write(ROOT / "docs/made")
    app.connect("autodoc-process-signature", signature_of_constructor)
