"""BasicSR as a scikit-learn estimator.

``BasicSR(proposer=TransformerProposer.from_checkpoint(), levels="all")`` is what the research code called NeuralSR: the
same loop with the transformer's help at every level.

Owns: `BasicSR`: parameters, ``fit``, ``predict``, the table of equations.  Does not own: the search (`search`).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from pysr_neural.errors import ConfigError, DataError, did_you_mean
from pysr_neural.expression.choice import DescriptionLength
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.sympy_bridge import to_sympy
from pysr_neural.expression.text import to_string
from pysr_neural.operators import Array, operator
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.report import report_of
from pysr_neural_baseline.search import SearchResult, run_search

if TYPE_CHECKING:
    import pandas as pd
    import sympy

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
    max_depth : int, optional
        Longest path, a leaf counting 1; without one, only the size limits the depth.
    constraints : mapping of str to int or tuple of int, optional
        As in PySR: ``{"sin": 5, "^": (-1, 1)}`` allows at most 5 nodes below a sin, 1 in an exponent; -1 is any number.
    nested_constraints : mapping of str to mapping of str to int, optional
        As in PySR: ``{"sin": {"cos": 0, "sin": 1}}`` allows no cos, and at most one sin, below a sin.
    generations, population_size : int, optional
        In place of the config's.
    levels : sequence of str or str, optional
        What the proposer is asked for, in place of the config's; ``"all"`` for all of `pysr_neural.state.LEVELS`.
    timeout_in_seconds : float, optional
        In place of the config's.
    random_state : int
        Not negative; the same state gives the same search.

    Attributes
    ----------
    equations_ : pandas.DataFrame
        The Pareto front: complexity, loss, score, equation, tree, neural.
    equation_ : str
        The one that is handed over, and predicts: of least description length (`pysr_neural.expression.choice`).
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
        max_depth: int | None = None,
        constraints: Mapping[str, int | tuple[int, ...]] | None = None,
        nested_constraints: Mapping[str, Mapping[str, int]] | None = None,
        generations: int | None = None,
        population_size: int | None = None,
        levels: Sequence[str] | str | None = None,
        timeout_in_seconds: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.binary_operators = binary_operators
        self.unary_operators = unary_operators
        self.config = config
        self.proposer = proposer
        self.max_size = max_size
        self.max_depth = max_depth
        self.constraints = constraints
        self.nested_constraints = nested_constraints
        self.generations = generations
        self.population_size = population_size
        self.levels = levels
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
        columns, target = self._checked(X, y, reset=True)
        names = list(variable_names) if variable_names is not None else self._names()
        if names is not None and len(names) != columns.shape[1]:
            raise DataError(f"Each of the {columns.shape[1]} columns needs a name; got {names}.")
        operators = self._operators()
        problem = Problem(columns, target, operators, self._limits(operators))
        self.variable_names_ = names
        self.result_: SearchResult = run_search(problem, self._settings(), self.proposer, self.random_state)
        self.equations_ = self._table()
        lengths = DescriptionLength(problem.y)
        self._chosen = lengths.choose(self.equations_["tree"].to_list(), self.equations_["loss"].to_list())
        self.equation_: str = self.equations_["equation"].iloc[self._chosen]
        self.neural_report_ = report_of(self.result_, self._settings(), self.proposer, names)
        return self

    def predict(self, X: npt.ArrayLike, index: int | None = None) -> Array:
        """Evaluate the chosen equation, or the one in a given row of ``equations_``; shape (rows,)."""
        check_is_fitted(self, "equations_")
        columns, _ = self._checked(X, "no_validation", reset=False)
        return evaluate(self.get_best(index)["tree"], columns, self._settings().functions)

    def get_best(self, index: int | None = None) -> "pd.Series":
        """Return a row of ``equations_``: the one handed over, or that of an index."""
        check_is_fitted(self, "equations_")
        return self.equations_.iloc[self._chosen if index is None else index]

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
            "levels": self.levels,
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

    def _limits(self, operators: OperatorSet) -> Limits:
        size = self._settings().max_size
        nested = [
            (_place(outer, operators, "nested_constraints"), _place(inner, operators, "nested_constraints"), most)
            for outer, inners in (self.nested_constraints or {}).items()
            for inner, most in inners.items()
        ]
        arguments = []
        for name, given in (self.constraints or {}).items():
            place = _place(name, operators, "constraints")
            sizes = (given,) if isinstance(given, int) else tuple(given)
            if len(sizes) != operators.arities[place] or any(most == 0 or most < -1 for most in sizes):
                raise ConfigError(
                    f"constraints must give {name!r} a size for each of its {operators.arities[place]} argument(s), at "
                    f"least 1, or -1 for any; got {given!r}."
                )
            arguments += [(place, argument, most) for argument, most in enumerate(sizes) if most > 0]
        depth = size if self.max_depth is None else self.max_depth
        return Limits(size, depth, tuple(nested), tuple(arguments))

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Array, Array]:
        """Let scikit-learn check and convert data, and note or compare the features."""
        try:
            found = validate_data(self, X, y, reset=reset, dtype=np.float64)
            columns, target = found if isinstance(found, tuple) else (found, ())
            return columns, np.asarray(target, dtype=np.float64)
        except ValueError as error:
            raise DataError(str(error)) from error

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


def _place(name: str, operators: OperatorSet, parameter: str) -> int:
    """Return an operator's position in the search's set."""
    known = operator(name).name
    if known not in operators.names:
        raise ConfigError(
            f"{parameter} must name operators of the search; got {name!r}." + did_you_mean(name, operators.names)
        )
    return operators.names.index(known)
