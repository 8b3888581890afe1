"""BasicSR as a scikit-learn estimator.

Owns: `BasicSR`: parameters, ``fit``, ``predict``, the table of equations.  Does not own: the search (`search`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from pysr_neural.errors import ConfigError, DataError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.sympy_bridge import to_sympy
from pysr_neural.expression.text import to_string
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.report import report_of
from pysr_neural_baseline.search import SearchResult, run_search

if TYPE_CHECKING:
    import pandas as pd
    import sympy

ACCEPTED_LOSS_RATIO = 1.5
LEAST_LOSS = 1e-300


class BasicSR(RegressorMixin, BaseEstimator):
    """Symbolic regression in pure Python, small enough to read in one sitting.

    Parameters
    ----------
    binary_operators, unary_operators : sequence of str
        Names of the operator table or their aliases.
    config : BasicSRConfig, optional
        Everything about the search.
    proposer : Proposer, optional
        Injected into the search, for instance a `TransformerProposer`.
    max_size : int, optional
        In place of the config's.
    generations, population_size : int, optional
        In place of the config's.
    timeout_in_seconds : float, optional
        In place of the config's.
    random_state : int
        Not negative; the same state gives the same search.

    Attributes
    ----------
    equations_ : pandas.DataFrame
        The Pareto front: complexity, loss, score, equation, tree, neural.
    result_ : SearchResult
    neural_report_ : NeuralReport or None
        What the injected proposer did.
    feature_names_in_ : array of str
        Only if X has text column names.
    n_features_in_ : int
    """

    def __init__(
        self,
        *,
        binary_operators: Sequence[str] = ("+", "-", "*", "/"),
        unary_operators: Sequence[str] = (),
        config: BasicSRConfig | None = None,
        proposer: Proposer | None = None,
        max_size: int | None = None,
        generations: int | None = None,
        population_size: int | None = None,
        timeout_in_seconds: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.binary_operators = binary_operators
        self.unary_operators = unary_operators
        self.config = config
        self.proposer = proposer
        self.max_size = max_size
        self.generations = generations
        self.population_size = population_size
        self.timeout_in_seconds = timeout_in_seconds
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, variable_names: Sequence[str] | None = None) -> Self:
        """Search for expressions of y in the columns of X.

        Parameters
        ----------
        X : array or DataFrame, shape (rows, features)
        y : array, shape (rows,)
        variable_names : sequence of str, optional
            The columns' names by default, if X has any.

        Raises
        ------
        DataError
            If the data cannot be used.
        ConfigError
            If a parameter or an operator cannot be used.
        """
        self._note_features(X)
        names = list(variable_names) if variable_names is not None else self._names()
        problem = Problem(np.asarray(X), np.asarray(y), self._operators(), Limits(max_size=self._settings().max_size))
        if names is not None and len(names) != problem.X.shape[1]:
            raise DataError(f"Each of the {problem.X.shape[1]} columns needs a name; got {names}.")
        self.variable_names_ = names
        self.n_features_in_ = problem.X.shape[1]
        self.result_: SearchResult = run_search(problem, self._settings(), self.proposer, self.random_state)
        self.equations_ = self._table()
        self.neural_report_ = report_of(self.result_, self._settings(), self.proposer, names)
        return self

    def predict(self, X: npt.ArrayLike, index: int | None = None) -> Array:
        """Evaluate the chosen equation, or the one in a given row of ``equations_``; shape (rows,)."""
        check_is_fitted(self, "equations_")
        columns = np.asarray(X, dtype=np.float64)
        if columns.ndim != 2 or columns.shape[1] != self.n_features_in_:
            raise DataError(f"X must have shape (rows, {self.n_features_in_}), as in fit; got {columns.shape}.")
        return evaluate(self.get_best(index)["tree"], columns, self._settings().functions)

    def get_best(self, index: int | None = None) -> "pd.Series":
        """Return a row of ``equations_``: of highest score among those with at most 1.5 times the lowest loss."""
        check_is_fitted(self, "equations_")
        if index is not None:
            return self.equations_.iloc[index]
        accepted = self.equations_[self.equations_["loss"] <= ACCEPTED_LOSS_RATIO * self.equations_["loss"].min()]
        return self.equations_.loc[accepted["score"].idxmax()]

    def sympy(self, index: int | None = None) -> "sympy.Expr":
        """Return an equation as a SymPy expression."""
        return to_sympy(self.get_best(index)["tree"], self.variable_names_)

    def latex(self, index: int | None = None, precision: int = 3) -> str:
        """Return an equation in LaTeX, numbers rounded to significant digits."""
        import sympy

        equation = self.sympy(index)
        rounded = {number: sympy.Float(number, precision) for number in equation.atoms(sympy.Float)}
        return str(sympy.latex(equation.xreplace(rounded)))

    def _settings(self) -> BasicSRConfig:
        own = {
            "max_size": self.max_size,
            "generations": self.generations,
            "population_size": self.population_size,
            "timeout_seconds": self.timeout_in_seconds,
        }
        if self.config is not None and not isinstance(self.config, BasicSRConfig):
            raise ConfigError(f"config must be a BasicSRConfig; got {type(self.config).__name__}.")
        return (self.config or BasicSRConfig()).changed(**{k: v for k, v in own.items() if v is not None})

    def _operators(self) -> OperatorSet:
        operators = OperatorSet.of(*self.unary_operators, *self.binary_operators)
        for given, arity in ((self.unary_operators, 1), (self.binary_operators, 2)):
            if len(operators.of_arity(arity)) != len(given):
                raise ConfigError(f"These must all be operators of {arity} argument(s): {tuple(given)}.")
        return operators

    def _note_features(self, X: Any) -> None:
        columns = list(getattr(X, "columns", []))
        if columns and all(isinstance(name, str) for name in columns):
            self.feature_names_in_ = np.array(columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _names(self) -> list[str] | None:
        return list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None

    def _table(self) -> "pd.DataFrame":
        import pandas as pd

        front = self.result_.hall_of_fame.front()
        return pd.DataFrame(
            {
                "complexity": [member.tree.size for member in front],
                "loss": [member.loss for member in front],
                "score": scores([member.tree.size for member in front], [member.loss for member in front]),
                "equation": [to_string(member.tree, self.variable_names_) for member in front],
                "tree": [member.tree for member in front],
                "neural": [member.neural for member in front],
            }
        )


def scores(sizes: Sequence[int], losses: Sequence[float]) -> list[float]:
    """Return the drop of log loss per node along a front, 0 for its first member."""
    logarithms = np.log(np.maximum(losses, LEAST_LOSS))
    drops = -np.diff(logarithms) / np.diff(sizes)
    return [0.0, *drops.tolist()] if len(losses) else []
