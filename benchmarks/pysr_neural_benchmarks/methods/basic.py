"""BasicSR and NeuralSR as benchmarked methods.

Owns: their budgets, layouts and notes of the front.  Does not own: the search (`pysr_neural_baseline.search`).

Steps are noted once per generation, which is the resolution of the curve.  The last step holds the front after the
search's closing simplification and fit.
"""

from typing import Any

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.text import to_string
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.state import LEVELS
from pysr_neural_baseline.config import PRESETS, BasicSRConfig
from pysr_neural_baseline.hall_of_fame import HallOfFame
from pysr_neural_baseline.report import report_of
from pysr_neural_baseline.search import Search, SearchResult, run_search
from pysr_neural_benchmarks.methods.base import STOP_AT, Budget, Found, Outcome, Step

ENDLESS = 10**9
LAYOUTS: dict[str, dict[str, Any]] = {
    "share": {},
    "onestep": {"levels": ("child",)},
    "whole": {"levels": ("seed", "child"), "proposal_share": 1.0},
}
"""What of each generation is left to the transformer: the default share of it; that share, but not the beginning; all
of it."""


class Basic:
    """BasicSR, with a proposer or without.

    Parameters
    ----------
    config : BasicSRConfig
    proposer : Proposer, optional
    """

    def __init__(self, config: BasicSRConfig, proposer: Proposer | None = None) -> None:
        self.config = config.changed(generations=ENDLESS, early_stop_loss=STOP_AT, extra_generations=0)
        self.proposer = proposer

    def warm_up(self, problem: Problem) -> None:
        """Search a few generations, for what happens only at first."""
        run_search(problem, self.config.changed(generations=3), self.proposer)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        config = self.config.changed(timeout_seconds=budget.seconds, max_evaluations=budget.evaluations)
        steps: list[Step] = []
        seen: list[object] = [None]

        def note(search: Search) -> None:
            marks = tuple([member.ref for member in search.hall_of_fame.best.values()])
            if marks and marks != seen[0]:
                seen[0] = marks
                seconds, evaluations = search.clock() - search.started, search.objective.evaluations
                steps.append(Step(seconds, evaluations, _front(search.hall_of_fame), search.generation))

        result = run_search(problem, config, self.proposer, seed, callback=note)
        last = _front(result.hall_of_fame)
        steps.append(Step(result.seconds, result.evaluations, last, result.generations))
        return Outcome(
            tuple(steps), result.seconds, result.evaluations, result.generations, self._counters(result, config)
        )

    def _counters(self, result: SearchResult, config: BasicSRConfig) -> dict[str, Any]:
        report = report_of(result, config, type(self.proposer).__name__)
        return {} if report is None else report.to_dict()


def _front(hall_of_fame: HallOfFame) -> tuple[Found, ...]:
    return tuple([Found(m.tree.size, m.loss, to_string(m.tree)) for m in hall_of_fame.front()])


def basicsr(argument: str, checkpoint: str) -> Basic:
    """Make BasicSR with a preset."""
    del checkpoint
    if argument and argument not in PRESETS:
        raise ConfigError(f"basicsr takes a preset; got {argument!r}." + did_you_mean(argument, PRESETS))
    return Basic(BasicSRConfig.of(argument or "default"))


def neuralsr(argument: str, checkpoint: str) -> Basic:
    """Make BasicSR with the transformer, by the name of a layout or by levels."""
    import torch

    from pysr_neural.proposer.neural.transformer import TransformerProposer

    names = argument.split(",") if argument else ["share"]
    if len(names) == 1 and names[0] in LAYOUTS:
        changes = LAYOUTS[names[0]]
    elif set(names) <= {*LEVELS, "all"}:
        changes = {"levels": "all" if names == ["all"] else tuple(names)}
    else:
        unknown = next(name for name in names if name not in LEVELS)
        raise ConfigError(
            f"neuralsr takes a layout or levels; got {unknown!r}." + did_you_mean(unknown, [*LAYOUTS, *LEVELS])
        )
    torch.set_num_threads(1)
    return Basic(BasicSRConfig.of(**changes), TransformerProposer.from_checkpoint(checkpoint))
