"""PySR, alone and with neural help, as benchmarked methods.

Owns: one fit of PySR with its fronts.  Does not own: the controls (`methods.controls`), the engine.

Every arm is serial, on its defaults but for operators, size and budget.  Starting Julia and compiling are the warm-up,
outside the clock; the model's own time is inside.  What PySR does before and after the engine's search, such as its
options and SymPy forms, is outside again.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.interop.precision import TYPES
from pysr_neural.problem import Problem
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, solved_loss
from pysr_neural_benchmarks.methods.fronts import FrontLogger

WARM_UP_SECONDS = 4.0
ENDLESS = 10**6


class PySR:
    """PySR with some parameters in place of its defaults.

    Parameters
    ----------
    parameters : mapping, optional
        Of `pysr_neural.PySRRegressor`, ``neural_proposer`` among them.

    Raises
    ------
    EngineUnavailableError
        If Julia cannot be started.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        from pysr_neural.interop.julia import load_package

        load_package()
        self.parameters = dict(parameters or {})

    def warm_up(self, problem: Problem) -> None:
        """Compile a search of these operators, and let the model's server start."""
        for seed in (0, 1):
            self.fit(problem, Budget(seconds=WARM_UP_SECONDS), seed)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        return self.search(problem, budget, seed)

    def search(self, problem: Problem, budget: Budget, seed: int, **changes: Any) -> Outcome:
        """Run one search, with more parameters for it alone."""
        from pysr_neural import PySRRegressor

        logger = FrontLogger()
        given = {**parameters_of(problem, budget, seed), **self.parameters, **changes}
        model = PySRRegressor(**seeded(given, seed), logger_spec=logger)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Meant: searches that time ends are not deterministic.
            model.fit(problem.X, problem.y)
        report = getattr(model, "neural_report_", None)
        counters = {} if report is None else report.to_dict()
        returned = model.equations_[["complexity", "loss", "equation"]].itertuples(index=False)
        last = tuple([Found(int(size), float(loss), str(text)) for size, loss, text in returned])
        return Outcome(logger.steps_with(last), logger.seconds, logger.evaluations, logger.iterations, counters)


def parameters_of(problem: Problem, budget: Budget, seed: int) -> dict[str, Any]:
    """Return what every arm gives to PySR."""
    operators = problem.operators
    limits: dict[str, Any] = {}
    if budget.seconds is not None:
        limits["timeout_in_seconds"] = budget.seconds
    if budget.evaluations is not None:
        limits["max_evals"] = budget.evaluations
    return {
        "binary_operators": list(operators.of_arity(2)),
        "unary_operators": list(operators.of_arity(1)),
        "maxsize": problem.limits.max_size,
        "niterations": ENDLESS,
        "early_stop_condition": solved_loss(problem.y),
        "parallelism": "serial",
        "random_state": seed,
        "progress": False,
        "verbosity": 0,
        "temp_equation_file": True,
        "input_stream": "devnull",
        **limits,
    }


def seeded(parameters: dict[str, Any], seed: int) -> dict[str, Any]:
    """Give the model's sampling the seed of the fit."""
    proposer = parameters.get("neural_proposer")
    if not isinstance(proposer, NeuralProposer):
        return parameters
    return {**parameters, "neural_proposer": replace(proposer, seed=seed)}


def plain(argument: str, checkpoint: str) -> PySR:
    """Make PySR alone, ``precision=64`` for double precision."""
    del checkpoint
    rest, parameters = with_precision(argument)
    if rest:
        raise ConfigError(f"pysr takes no argument but precision=64; got {argument!r}.")
    return PySR(parameters)


def neural(argument: str, checkpoint: str) -> PySR:
    """Make PySR with the transformer; the argument as for `proposer_of`, and ``precision=64`` for double precision."""
    rest, parameters = with_precision(argument)
    return PySR({"neural_proposer": proposer_of(rest, checkpoint), **parameters})


def foresight(argument: str, checkpoint: str) -> PySR:
    """Make PySR with the step that looks ahead, ``untrained`` for a network that likes all changes alike.

    Raises
    ------
    ConfigError
        If the argument is something else.
    """
    del checkpoint
    rest, parameters = with_precision(argument)
    given: dict[str, Any] = {}
    for word in rest.split(",") if rest else ():
        name, _, value = word.partition("=")
        try:
            given |= {"foresight": ()} if word == "untrained" else {"foresight_share": float(value)}
        except ValueError:
            name = ""
        if name not in ("untrained", "share"):
            raise ConfigError(f"pysr-foresight takes untrained and share=NUMBER; got {word!r}.")
    return PySR({"plugins": [looking_ahead(**given)], **parameters})


def looking_ahead(**settings: Any) -> NeuralProposerPlugin:
    """Return the plugin that looks ahead and does nothing else."""
    return NeuralProposerPlugin(NeuralProposer(levels=("foresight",)), verbose=False, **settings)


def with_precision(argument: str) -> tuple[str, dict[str, Any]]:
    """Take ``precision=16``, ``32`` or ``64`` out of an argument; returns the rest, and PySR's parameter."""
    words = argument.split(",") if argument else []
    found = {f"precision={bits}": bits for bits in TYPES}
    given = [found[word] for word in words if word in found]
    return ",".join(word for word in words if word not in found), {"precision": given[-1]} if given else {}


def proposer_of(argument: str, checkpoint: str) -> NeuralProposer:
    """Read ``seed,child,overhead=0.3``: levels, or ``all``, and the overhead, each at its default where it is left out.

    Raises
    ------
    ConfigError
        If a level is unknown or the overhead is no share.
    """
    words = argument.split(",") if argument else []
    levels = [word for word in words if "=" not in word]
    given: dict[str, Any] = {"levels": "all" if levels == ["all"] else tuple(levels)} if levels else {}
    for word in set(words) - set(levels):
        name, _, value = word.partition("=")
        try:
            given["max_overhead"] = float(value)
        except ValueError:
            name = ""
        if name != "overhead":
            raise ConfigError(f"pysr-neural takes levels, and overhead=SHARE such as overhead=0.3; got {word!r}.")
    return NeuralProposer(checkpoint=checkpoint, **given)
