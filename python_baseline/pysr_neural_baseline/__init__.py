"""BasicSR: a reference engine for symbolic regression in pure Python, which takes any proposer.

`BasicSR` is looked up at its first use, since scikit-learn takes two seconds to import.
"""

from typing import TYPE_CHECKING, Any

from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.many import fit_many
from pysr_neural_baseline.search import SearchResult, run_search
from pysr_neural_baseline.variation import EvolutionaryProposer

if TYPE_CHECKING:
    from pysr_neural_baseline.estimator import BasicSR

__all__ = ["BasicSR", "BasicSRConfig", "EvolutionaryProposer", "SearchResult", "fit_many", "run_search"]


def __getattr__(name: str) -> Any:
    if name == "BasicSR":
        from pysr_neural_baseline.estimator import BasicSR

        return BasicSR
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
