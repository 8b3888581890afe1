"""BasicSR as a scikit-learn estimator.

``BasicSR(proposer="default", levels="all")`` is what the research code called NeuralSR: the same loop with the
transformer's help at every level.

Owns: `BasicSR`: parameters, ``fit``, ``predict``, the table of equations.  Does not own: the search (`search`).
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from pysr_neural.checks import number, texts, whole
from pysr_neural.config import NeuralProposer, neural_proposer_of
from pysr_neural.errors import ConfigError, DataError, did_you_mean
from pysr_neural.expression.choice import DescriptionLength
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.names import checked_names
from pysr_neural.expression.node import Node
from pysr_neural.expression.sympy_bridge import Style, to_latex, to_sympy
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import Array, operator
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.load import proposer_of
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.report import report_of
from pysr_neural_baseline.search import INTERRUPT, SearchResult, run_search

if TYPE_CHECKING:
    import pandas as pd
    import sympy

LEAST_LOSS = 1e-300
LARGEST_SEED = 2**31 - 1


class BasicSR(RegressorMixin, BaseEstimator):
    """Symbolic regression in pure Python, small enough to read in one sitting.

    Parameters
    ----------
    binary_operators, unary_operators : sequence of str
        Names of the operator table or their aliases.
    config : BasicSRConfig, optional
        Everything about the search.
    proposer : None, str, path, NeuralProposer, or Proposer
        As PySR's ``neural_proposer``: ``"default"`` is the bundled checkpoint, a text or path another one, an object
        with the Proposer protocol is asked itself.  Of a `NeuralProposer`, ``levels``, ``max_overhead`` and
        ``temperature`` hold in place of the config's; what concerns PySR's server has no meaning here.
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
    random_state : int, RandomState, Generator or None
        The same number, not negative, gives the same search; a generator is drawn from at each fit; None differs from
        fit to fit.
    guesses : sequence of str or Node, optional
        As PySR's: expressions, in the variables' names, that the search begins with.

    Attributes
    ----------
    equations_ : pandas.DataFrame
        The Pareto front: complexity, loss, score, equation, tree, neural.  Equations say what is calculated, also where
        the reference preset guards an operator: ``sqrt(abs(x0))``, ``(x0 / where(abs(x1) < 1e-10, 1e-10, x1))``.
    equation_ : str
        The one that is handed over, and predicts: of least description length (`pysr_neural.expression.choice`).
    result_ : SearchResult
    settings_ : BasicSRConfig
        What the search went by.
    interrupted_ : bool
        Whether the search was ended by Ctrl-C.
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
        proposer: NeuralProposer | Proposer | str | os.PathLike[str] | None = None,
        max_size: int | None = None,
        max_depth: int | None = None,
        constraints: Mapping[str, int | tuple[int, ...]] | None = None,
        nested_constraints: Mapping[str, Mapping[str, int]] | None = None,
        generations: int | None = None,
        population_size: int | None = None,
        levels: Sequence[str] | str | None = None,
        timeout_in_seconds: float | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        guesses: Sequence[str | Node] | None = None,
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
        self.guesses = guesses

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, variable_names: Sequence[str] | None = None) -> Self:
        """Search for expressions of y in the columns of X; Ctrl-C ends the search and keeps what was found.

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
        CheckpointError
            If the proposer's checkpoint cannot.
        """
        columns, target = self._checked(X, y, reset=True)
        given = variable_names if variable_names is not None else self._names()
        names = None if given is None else checked_names(given, columns.shape[1])
        operators, settings = self._operators(), self._settings()
        problem = Problem(columns, target, operators, self._limits(operators))
        helped = self._help()
        proposer = None if helped is None or not settings.levels else proposer_of(helped)
        result = run_search(problem, settings, proposer, seed_of(self.random_state), guesses=self._guesses(names))
        self.variable_names_, self.settings_ = names, settings
        self.result_: SearchResult = result
        self.equations_ = self._table()
        lengths = DescriptionLength(problem.y)
        self._chosen = lengths.choose(self.equations_["tree"].to_list(), self.equations_["loss"].to_list())
        self.equation_: str = self.equations_["equation"].iloc[self._chosen]
        self.interrupted_ = result.stopped_by == INTERRUPT
        if self.interrupted_:
            warnings.warn(
                "The search was interrupted; the model holds what it had found.", RuntimeWarning, stacklevel=2
            )
        self.neural_report_ = None if helped is None else report_of(result, settings, helped.label, names)
        return self

    def predict(self, X: npt.ArrayLike, index: int | None = None) -> Array:
        """Evaluate the chosen equation, or the one in a given row of ``equations_``; shape (rows,)."""
        check_is_fitted(self, "equations_")
        columns, _ = self._checked(X, "no_validation", reset=False)
        return evaluate(self.get_best(index)["tree"], columns, self.settings_.functions)

    def get_best(self, index: int | None = None) -> "pd.Series":
        """Return a row of ``equations_``: the one handed over, or that of an index."""
        check_is_fitted(self, "equations_")
        return self.equations_.iloc[self._chosen if index is None else index]

    def sympy(self, index: int | None = None) -> "sympy.Expr":
        """Return an equation as a SymPy expression of plain symbols: ``sympy.Symbol("x0")``, as PySR's.

        A name that would be misread, such as ``T/K``, is a symbol in backquotes.
        """
        style = Style(real=False, guarded=self.settings_.guarded_arithmetic)
        return to_sympy(self.get_best(index)["tree"], self.variable_names_, style=style)

    def latex(self, index: int | None = None, precision: int = 3) -> str:
        """Return an equation in LaTeX, constants rounded to significant digits as PySR prints them."""
        tree, guarded = self.get_best(index)["tree"], self.settings_.guarded_arithmetic
        return to_latex(tree, self.variable_names_, whole("precision", precision, 1), guarded)

    def _settings(self) -> BasicSRConfig:
        helped = self._help()
        own: dict[str, Any] = {
            "max_size": self.max_size,
            "generations": self.generations,
            "population_size": self.population_size,
            "levels": self.levels,
        }
        if self.timeout_in_seconds is not None:
            own["timeout_seconds"] = number("timeout_in_seconds", self.timeout_in_seconds, least=0, finite=False)
        if self.config is not None and not isinstance(self.config, BasicSRConfig):
            raise ConfigError(f"config must be a BasicSRConfig; got {type(self.config).__name__}.")
        config = self.config or BasicSRConfig()
        if helped is not None and helped is self.proposer:
            guard = replace(config.guard, max_overhead=helped.max_overhead)
            config = config.changed(guard=guard, proposal_temperature=helped.temperature)
            if helped.levels is not None:
                config = config.changed(levels=helped.levels)
        return config.changed(**{k: v for k, v in own.items() if v is not None})

    def _guesses(self, names: Sequence[str] | None) -> list[Node]:
        given = self.guesses or ()
        each_of = (given,) if isinstance(given, str | Node) else given
        return [each if isinstance(each, Node) else parse(each, names) for each in each_of]

    def _help(self) -> NeuralProposer | None:
        """Read `proposer` in full form."""
        helped = neural_proposer_of(self.proposer, "proposer")
        if helped is not None and helped.trace is not None:
            raise ConfigError(
                f"BasicSR records no trace by itself; got trace={helped.trace!r}. Use pysr-neural traces generate, or "
                "run_search with a Recorder."
            )
        return helped

    def _operators(self) -> OperatorSet:
        unary, binary = (texts(name, getattr(self, name)) for name in ("unary_operators", "binary_operators"))
        operators = OperatorSet.of(*unary, *binary)
        for name, given, arity in (("unary_operators", unary, 1), ("binary_operators", binary, 2)):
            if any(operator(each).arity != arity for each in given):
                raise ConfigError(f"{name} must all be operators of {arity} argument(s); got {given}.")
        return operators

    def _limits(self, operators: OperatorSet) -> Limits:
        size = self._settings().max_size
        depth = size if self.max_depth is None else whole("max_depth", self.max_depth, 1)
        return Limits(size, depth, tuple(self._nested(operators)), tuple(self._arguments(operators)))

    def _nested(self, operators: OperatorSet) -> Iterator[tuple[int, int, int]]:
        """Read `nested_constraints` as the problem's limits have them."""
        parameter = "nested_constraints"
        for outer, inners in _mapping(parameter, self.nested_constraints).items():
            for inner, most in _mapping(f"{parameter}[{outer!r}]", inners).items():
                count = whole(f"{parameter}[{outer!r}][{inner!r}]", most, 0)
                yield _place(outer, operators, parameter), _place(inner, operators, parameter), count

    def _arguments(self, operators: OperatorSet) -> Iterator[tuple[int, int, int]]:
        """Read `constraints` as the problem's limits have them."""
        for name, given in _mapping("constraints", self.constraints).items():
            place = _place(name, operators, "constraints")
            several = isinstance(given, tuple | list) or getattr(given, "ndim", 0) == 1
            sizes = [whole(f"constraints[{name!r}]", most, -1) for most in (given if several else (given,))]
            if len(sizes) != operators.arities[place] or 0 in sizes:
                raise ConfigError(
                    f"constraints must give {name!r} a size for each of its {operators.arities[place]} argument(s), at "
                    f"least 1, or -1 for any; got {given!r}."
                )
            yield from ((place, argument, most) for argument, most in enumerate(sizes) if most > 0)

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

        front, guarded = self.result_.hall_of_fame.front(), self.settings_.guarded_arithmetic
        return pd.DataFrame(
            {
                "complexity": [member.tree.size for member in front],
                "loss": [member.loss for member in front],
                "score": scores([member.tree.size for member in front], [member.loss for member in front]),
                "equation": [to_string(member.tree, self.variable_names_, guarded) for member in front],
                "tree": [member.tree for member in front],
                "neural": [member.neural for member in front],
            }
        )


def scores(sizes: Sequence[int], losses: Sequence[float]) -> list[float]:
    """Return the drop of log loss per node along a front, 0 for its first member."""
    logarithms = np.log(np.maximum(losses, LEAST_LOSS))
    drops = -np.diff(logarithms) / np.diff(sizes)
    return [0.0, *drops.tolist()] if len(losses) else []


def seed_of(random_state: object) -> int:
    """Return the seed that a ``random_state`` stands for; see `BasicSR`.

    Raises
    ------
    ConfigError
        If it is none of what may be given.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(LARGEST_SEED))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(LARGEST_SEED))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(LARGEST_SEED))
    return whole("random_state", random_state, 0)


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dict of operators; got {value!r}.")
    return value or {}


def _place(name: str, operators: OperatorSet, parameter: str) -> int:
    """Return an operator's position in the search's set."""
    known = operator(name).name
    if known not in operators.names:
        raise ConfigError(
            f"{parameter} must name operators of the search; got {name!r}." + did_you_mean(name, operators.names)
        )
    return operators.names.index(known)
