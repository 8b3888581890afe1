"""Peers that are no genetic programming: RILS-ROLS, and PSRN (parallel symbolic enumeration).

Owns: their adapters.  Does not own: them.

RILS-ROLS (1.6.7) always searches with ``+ - * / sin cos log exp sqrt`` and the square.  It hands out nothing before its
end, so that its curve is one step, at the time at which it says it found its last improvement; what it had before does
not show.  PSRN (0.1.3) enumerates all expressions of a few layers over a few inputs at once, in single precision; it
was made for a GPU, and is given two layers without one, since a third takes minutes.
"""

import math
import random
import time
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, ExpressionError
from pysr_neural.expression.fit import mean_squared_error, refine
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Problem
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step, pareto, solved_loss
from pysr_neural_benchmarks.methods.printed import plain, silenced

NO_LIMIT = 2**31 - 1
LATE = 0.05
"""Seconds by which RILS-ROLS ends after its limit, and which it is not blamed for."""
COMPLEXITY_PENALTY = 0.001
MAX_COMPLEXITY = 50
"""Defaults of RILS-ROLS; its own count, in which every coefficient is two nodes."""
ENUMERATED_ROWS = 100
FITTED = 10
"""Rows that PSRN's enumeration sees, and expressions whose constants it then fits: its command line's defaults."""
CUT = 1e-5
"""Largest change, to a number of about 1, that is taken for digits that were not printed."""
_PSRN = {
    "+": "Add", "*": "Mul", "-": "Sub", "/": "Div", "sin": "Sin", "cos": "Cos", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "neg": "Neg", "inv": "Inv", "square": "Pow2", "cube": "Pow3", "abs": "Abs", "tanh": "Tanh",
    "cosh": "Cosh", "sign": "Sign", "^": "Pow",
}  # fmt: skip


def read(text: str, problem: Problem, refit: bool = False) -> Found | None:
    """Read a peer's equation in ``x0``, ``x1``, …; None if it cannot be read or is not finite.

    Parameters
    ----------
    text : str
    problem : Problem
    refit : bool
        Whether its constants were cut when it was printed, and the digits behind are to be found again; what a fit
        would change by more than that is left as it was.
    """
    try:
        tree = parse(plain(text), [f"x{i}" for i in range(problem.X.shape[1])])
    except ExpressionError:
        return None
    loss = mean_squared_error(tree, problem.X, problem.y)
    if refit:
        fitted, lower = refine(tree, problem.X, problem.y)
        moved = zip(fitted.constants(), tree.constants(), strict=True)
        if lower < loss and all(abs(new - old) <= CUT * max(1.0, abs(old)) for new, old in moved):
            tree, loss = fitted, lower
    return Found(tree.size, loss, to_string(tree)) if math.isfinite(loss) else None


class RilsRols:
    """RILS-ROLS: iterated local search with ordinary least squares, on its defaults.

    Its limit on time is in whole seconds and ends a second late, for which it is told a second less; of a budget below
    one second only what it found in time counts.  It does not stop when it has solved a problem.  It prints constants
    with six decimals; they are fitted again from there, outside the clock.
    """

    def warm_up(self, problem: Problem) -> None:
        """Search a little."""
        self.fit(problem, Budget(evaluations=100), 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        import rils_rols_cpp

        began = time.perf_counter()
        calls = min(budget.evaluations or NO_LIMIT, NO_LIMIT)
        seconds = NO_LIMIT if budget.seconds is None else math.ceil(budget.seconds) - 1
        rows, features = problem.X.shape
        search = rils_rols_cpp.rils_rols(
            False, calls, seconds, COMPLEXITY_PENALTY, MAX_COMPLEXITY, 1.0, False, 1 + seed % NO_LIMIT
        )
        search.fit(np.ascontiguousarray(problem.X).reshape(-1, 1), np.asarray(problem.y), rows, features)
        evaluations, searched = int(search.get_fit_calls()), time.perf_counter() - began
        found = read(search.get_model_string(), problem, refit=True)
        at = min(float(search.get_best_time()), searched)
        if budget.seconds is not None and budget.seconds < at <= budget.seconds + LATE:
            at = budget.seconds
        steps = () if found is None else (Step(at, min(evaluations, calls), (found,), 1),)
        return Outcome(steps, searched, evaluations, 1)


class PSRN:
    """PSRN with constants, and with tokens by its genetic programming.

    An evaluation is an expression of its last layer; constants are rounded by it, and fitted again from there.

    Parameters
    ----------
    layers, inputs : int
        Depth of what is enumerated, and expressions that it begins with.
    """

    def __init__(self, layers: int, inputs: int) -> None:
        self.layers, self.inputs = layers, inputs

    def warm_up(self, problem: Problem) -> None:
        """Search a little: masks of duplicates are made once for each set of operators."""
        self.fit(problem, Budget(seconds=1.0), 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        import torch

        began = time.perf_counter()
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - it draws from the global generators.
        torch.manual_seed(seed)
        model = self._model(problem, budget.seconds or 1e9)
        steps: list[Step] = []
        taken: dict[str, Found | None] = {}
        width = int(model.net.list[-1].out_dim)
        counted = [0]

        def note(new: list[Any], update: Any = model.pareto_update_and_check) -> bool:
            stop = bool(update(new))
            texts = [str(member[0]) for member in model.pareto_frontier]
            for text in texts:
                if text not in taken:
                    taken[text] = read(text, problem, refit=True)
            front = pareto(found for text in texts if (found := taken[text]) is not None)
            seconds = time.perf_counter() - began
            if front and (not steps or front != steps[-1].front):
                steps.append(Step(seconds, counted[0], front, len(steps)))
            return stop or budget.spent(seconds, counted[0])

        def enumerated(*given: Any, best: Any = model.get_best_expr_and_MSE_topk) -> Any:
            counted[0] += width
            return best(*given)

        model.pareto_update_and_check, model.get_best_expr_and_MSE_topk = note, enumerated
        with silenced():
            model.fit(
                torch.tensor(problem.X, dtype=torch.float32),
                torch.tensor(problem.y[:, None], dtype=torch.float32),
                n_down_sample=ENUMERATED_ROWS,
                threshold=solved_loss(problem.y),
                real_time_display=False,
                top_k=FITTED,
            )
        return Outcome(tuple(steps), time.perf_counter() - began, counted[0], len(steps))

    def _model(self, problem: Problem, seconds: float) -> Any:
        import torch
        from psrn import PSRN_Regressor

        operators = [_PSRN[name] for name in problem.operators.names if name in _PSRN]
        operators = [*operators, "Identity"]
        stages = {
            "default": {
                "operators": operators,
                "time_limit": seconds,
                "n_psrn_inputs": self.inputs,
                "n_sample_variables": min(problem.X.shape[1], self.inputs, 3),
            },
            "stages": [{}],
        }
        with silenced():
            return PSRN_Regressor(
                variables=[f"x{i}" for i in range(problem.X.shape[1])],
                use_const=True,
                n_symbol_layers=self.layers,
                device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
                stage_config=stages,
                token_generator_config={"base": {"has_const": True, "tokens": operators}},
            )


def rils_rols(argument: str, checkpoint: str) -> RilsRols:
    """Make RILS-ROLS."""
    del checkpoint
    if argument:
        raise ConfigError(f"rils-rols takes no argument; got {argument!r}.")
    return RilsRols()


def psrn(argument: str, checkpoint: str) -> PSRN:
    """Make PSRN; the argument is ``layers=3,inputs=5``."""
    import torch

    del checkpoint
    given = {"layers": 3, "inputs": 5} if torch.cuda.is_available() else {"layers": 2, "inputs": 10}
    for word in argument.split(",") if argument else ():
        name, _, value = word.partition("=")
        if name not in given or not value.isdigit() or int(value) < 1:
            raise ConfigError(f"psrn takes layers=NUMBER,inputs=NUMBER; got {word!r}.")
        given[name] = int(value)
    return PSRN(**given)
