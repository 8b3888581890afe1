"""A small transformer that proposes expressions to PySR's evolutionary search.

``from pysr_neural import PySRRegressor``, then ``PySRRegressor(neural_proposer="default")``.

Importing this package imports nothing heavy; each public name is imported when it is first used.  `PySRRegressor` and
`NeuralProposerPlugin` start Julia through PySR, the others do not.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysr_neural.config import NeuralProposer
    from pysr_neural.interop.julia import julia_available
    from pysr_neural.interop.plugin import NeuralProposerPlugin
    from pysr_neural.interop.regressor import PySRRegressor
    from pysr_neural.interop.report import NeuralReport

__version__ = "0.1.0"
__all__ = ["NeuralProposer", "NeuralProposerPlugin", "NeuralReport", "PySRRegressor", "__version__", "julia_available"]

_HOME_OF = {
    "NeuralProposer": "pysr_neural.config",
    "NeuralProposerPlugin": "pysr_neural.interop.plugin",
    "NeuralReport": "pysr_neural.interop.report",
    "PySRRegressor": "pysr_neural.interop.regressor",
    "julia_available": "pysr_neural.interop.julia",
}


# Else Python would write a library's warnings to standard error where the user has set up no logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
