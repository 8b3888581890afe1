"""Other people's genetic programming: gplearn and Operon.

Owns: their adapters: parameters, fronts after every few generations, expressions in our syntax.  Does not own: them.

Both run on their own defaults but for operators, size and budget; gplearn's population is smaller than its default,
since it makes some thousand programs a second.  An iteration is a generation, which is the resolution of the curve; of
Operon up to ten generations, since it hands nothing out in between.
"""

import math
import time
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, ExpressionError
from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Problem
from pysr_neural_benchmarks.methods.base import Budget, Found, Front, Outcome, solved_loss

POPULATION = 500
SLICE = 10
"""Most generations of Operon between two looks at its front."""
UNLIMITED = 10**6
NO_LIMIT = 10**9
DECIMALS = 60
"""Of Operon's constants, which are of single precision: its least one ends at the 45th place."""
FAILURES = 3
"""Operon refuses its own results when a member of its front is not finite; so often it may begin again elsewhere."""
_GPLEARN = {"+": "add", "-": "sub", "*": "mul", "/": "div", "sin": "sin", "cos": "cos", "log": "log", "sqrt": "sqrt"}
_OPERON = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "sin": "sin", "cos": "cos", "exp": "exp", "log": "log",
    "sqrt": "sqrt",
}  # fmt: skip
_OPERON_EXTREMES = {"min": "fmin", "max": "fmax"}


class Gplearn:
    """gplearn's `SymbolicRegressor`, generation by generation.

    Its division, logarithm and square root are protected.  Expressions are written with the absolute values that its
    protection takes; its value 1 at a division by nearly 0 has no other form, so that such an expression scores badly.
    """

    def warm_up(self, problem: Problem) -> None:
        """Search one generation."""
        self.fit(problem, Budget(evaluations=1), 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        began = time.perf_counter()
        model = self._model(problem, seed)
        front, enough = Front(problem.limits.max_size), solved_loss(problem.y)
        generation = evaluations = 0
        while not budget.spent(time.perf_counter() - began, evaluations) and front.lowest_loss > enough:
            generation, evaluations = generation + 1, evaluations + POPULATION
            model.set_params(generations=generation)
            model.fit(problem.X, problem.y)
            programs = sorted(model._programs[-1], key=lambda program: program.raw_fitness_)
            front.offer(_best_of(programs, problem), time.perf_counter() - began, evaluations, generation)
        return Outcome(tuple(front.steps), time.perf_counter() - began, evaluations, generation)

    def _model(self, problem: Problem, seed: int) -> Any:
        from gplearn.functions import make_function
        from gplearn.genetic import SymbolicRegressor

        def exponential(a: Any) -> Any:
            with np.errstate(over="ignore"):
                return np.exp(np.clip(a, None, 100.0))

        names = problem.operators.names
        functions: list[Any] = [_GPLEARN[name] for name in names if name in _GPLEARN]
        if "exp" in names:
            functions.append(make_function(function=exponential, name="exp", arity=1))
        return SymbolicRegressor(
            population_size=POPULATION,
            function_set=functions,
            metric="mse",
            warm_start=True,
            random_state=seed,
            low_memory=True,
        )


def _best_of(programs: list[Any], problem: Problem) -> list[Found]:
    """Read the best program of each length."""
    chosen: dict[int, Any] = {}
    for program in programs:
        if program.length_ <= problem.limits.max_size and math.isfinite(program.raw_fitness_):
            chosen.setdefault(program.length_, program)
    found = []
    for program in chosen.values():
        tree = _read_gplearn(program.program)
        found.append(Found(tree.size, mean_squared_error(tree, problem.X, problem.y), to_string(tree)))
    return found


def _read_gplearn(program: list[Any]) -> Node:
    """Read gplearn's prefix form: functions, numbers of variables, constants."""
    stack: list[Node] = []
    names = {name: ours for ours, name in _GPLEARN.items()}
    for symbol in reversed(program):
        if isinstance(symbol, float):
            stack.append(constant(symbol))
        elif isinstance(symbol, int | np.integer):
            stack.append(variable(int(symbol)))
        else:
            arguments = [stack.pop() for _ in range(symbol.arity)]
            name = names.get(symbol.name, symbol.name)
            if name in ("log", "sqrt"):
                arguments = [apply("abs", arguments[0])]
            stack.append(apply(name, *arguments))
    return stack[0]


class Operon:
    """Operon with two objectives, loss and length, and its local search of constants.

    Its length counts a variable with its coefficient as one node, and neither scale nor intercept; the limit is in its
    own count, and what it finds may be larger in ours.

    With two objectives it counts no evaluations of its own, and a limit on them can end its process (0.6.2).  So it is
    given generations, as many as fit into what is left, and individuals are counted here: a population at the start,
    and as many children a generation, besides what its local search reports.  Its limit on time is in whole seconds,
    and it hands out what it found at the end only, so that time is kept by generations as well.
    """

    def warm_up(self, problem: Problem) -> None:
        """Search a few generations."""
        self.fit(problem, Budget(evaluations=1), 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        began = time.perf_counter()
        model = self._model(problem, seed)
        front, enough = Front(UNLIMITED), solved_loss(problem.y)
        generation = evaluations = failures = 0
        while front.lowest_loss > enough:
            fitting = _slice(budget, time.perf_counter() - began, evaluations, generation)
            if not fitting:
                break
            model.set_params(generations=fitting)
            if budget.seconds is not None:
                model.set_params(max_time=max(1, math.ceil(budget.seconds)))
            try:
                model.fit(np.asarray(problem.X), np.asarray(problem.y))
            except ValueError:
                failures += 1
                if failures > FAILURES:
                    raise
                model = self._model(problem, seed + 1000 * failures)
                continue
            made = int(model.stats_["generations"])
            if made == 0 and generation:
                break
            evaluations += model.population_size * (made + (generation == 0))
            evaluations += model.stats_["residual_evaluations"] + model.stats_["jacobian_evaluations"]
            generation += max(made, 1)
            found = [_read_operon(each["tree"], model.variables_, problem) for each in model.pareto_front_]
            seconds = time.perf_counter() - began
            front.offer([each for each in found if each is not None], seconds, evaluations, generation)
            model.set_params(random_state=int(model.random_state) + 1)
        return Outcome(tuple(front.steps), time.perf_counter() - began, evaluations, generation)

    def _model(self, problem: Problem, seed: int) -> Any:
        from pyoperon.sklearn import SymbolicRegressor

        known = {**_OPERON, **_extremes()}
        names = [known[name] for name in problem.operators.names if name in known]
        return SymbolicRegressor(
            allowed_symbols=",".join([*names, "constant", "variable"]),
            objectives=["mse", "length"],
            optimizer_iterations=5,
            max_length=problem.limits.max_size,
            generations=SLICE,
            max_evaluations=NO_LIMIT,
            n_threads=1,
            random_state=seed,
            warm_start=True,
        )


def _slice(budget: Budget, seconds: float, evaluations: int, generation: int) -> int:
    """Return how many generations fit into what is left of a budget, by what one took so far; one at the start."""
    if generation == 0:
        return 1
    limits = ((budget.seconds, seconds), (budget.evaluations, float(evaluations)))
    fitting = [(limit - spent) * generation / spent for limit, spent in limits if limit is not None and spent]
    return max(0, int(min([SLICE, *fitting])))


def _extremes() -> dict[str, str]:
    """Return Operon's names of minimum and maximum; in 0.6.2 each calls, and prints, what the other is named for."""
    import pyoperon

    types = {"fmin": pyoperon.NodeType.Fmin, "fmax": pyoperon.NodeType.Fmax}
    printed = {str(pyoperon.Node(kind).Name): name for name, kind in types.items()}
    return {ours: printed[theirs] for ours, theirs in _OPERON_EXTREMES.items() if theirs in printed}


def _read_operon(tree: Any, variables: dict[Any, str], problem: Problem) -> Found | None:
    """Read one of Operon's trees; its variables are called X1, X2, …"""
    import pyoperon

    text = pyoperon.InfixFormatter.Format(tree, variables, DECIMALS)
    try:
        node = parse(text, [f"X{i + 1}" for i in range(problem.X.shape[1])])
    except ExpressionError:
        return None
    return Found(node.size, mean_squared_error(node, problem.X, problem.y), to_string(node))


def gplearn(argument: str, checkpoint: str) -> Gplearn:
    """Make gplearn."""
    del checkpoint
    _no_argument("gplearn", argument)
    return Gplearn()


def operon(argument: str, checkpoint: str) -> Operon:
    """Make Operon."""
    del checkpoint
    _no_argument("operon", argument)
    return Operon()


def _no_argument(name: str, argument: str) -> None:
    if argument:
        raise ConfigError(f"{name} takes no argument; got {argument!r}.")
