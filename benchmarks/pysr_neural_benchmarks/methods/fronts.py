"""The fronts of a PySR search while it runs: a logger in Julia that notes every change of the hall of fame.

Owns: `FrontLogger`, given to PySR as ``logger_spec``.  Does not own: what is done with the steps.

PySR tells a logger about every finished iteration of every population, which is 380 cycles: some hundredths of a second
with the defaults, the curve's resolution.  The logger compares losses, and writes expressions only when the front has
changed.  Times are of Julia's monotonic clock, counted from the moment at which the engine's search begins: building
PySR's options, half a second before that for every arm alike, is set-up and outside the clock; the first populations
and the model's proposals for them are inside.  A serial search runs the first iteration of every population before it
tells anything, a few tenths of a second, and only then starts the clock of PySR's own time limit: it ends as much later
than the budget, and what it finds after the budget does not count.  Evaluations are counted as populations hand in.
What enters the front when the search ends is a last step, at the moment at which PySR has its result.
"""

from typing import Any

from pysr_neural_benchmarks.methods.base import Found, Step

_LOGGER = """
module NeuralProposerFronts
using SymbolicRegression: SymbolicRegression, calculate_pareto_frontier, compute_complexity, string_tree
mutable struct Fronts <: SymbolicRegression.AbstractSRLogger
    start::UInt64
    calls::Int
    finished::Float64
    evaluations::Float64
    marks::Vector{Float64}
    seconds::Vector{Float64}
    counts::Vector{Float64}
    iterations::Vector{Int}
    fronts::Vector{String}
    begun::Bool
end
Fronts() = Fronts(time_ns(), 0, 0.0, 0.0, Float64[], Float64[], Float64[], Int[], String[], false)

# The engine asks this of its runtime options first of all; our own logger type in them makes the method ours.
const Search = parentmodule(SymbolicRegression.logging_callback!)
@static if isdefined(Search, :latch_external_stop!) && isdefined(Search, :RuntimeOptions)
    function Search.latch_external_stop!(ropt::Search.RuntimeOptions{P,D,R,Fronts}) where {P,D,R}
        if !ropt.logger.begun
            ropt.logger.begun = true
            ropt.logger.start = time_ns()
        end
        return Search.latch_external_stop!(Search.external_stop(ropt))
    end
end
function SymbolicRegression.logging_callback!(logger::Fronts; state, datasets, ropt, options)
    logger.calls += 1
    logger.evaluations = sum(sum, state.num_evals)
    hall = state.halls_of_fame[1]
    marks = Float64[exists ? member.loss : Inf for (exists, member) in zip(hall.exists, hall.members)]
    if marks != logger.marks
        logger.marks = marks
        front = calculate_pareto_frontier(hall)
        names = datasets[1].variable_names
        lines = map(front) do member
            text = string_tree(member.tree, options; variable_names=names, pretty=false)
            "$(compute_complexity(member, options))\\t$(Float64(member.loss))\\t$text"
        end
        push!(logger.fronts, join(lines, "\\n"))
        push!(logger.counts, logger.evaluations)
        push!(logger.iterations, logger.calls)
        push!(logger.seconds, (time_ns() - logger.start) / 1e9)
    end
    logger.finished = (time_ns() - logger.start) / 1e9
    return nothing
end
end
"""


class FrontLogger:
    """Notes the fronts of one fit; has what PySR asks of a logger specification."""

    def __init__(self) -> None:
        self._live: Any = None
        self._over = 0.0

    def create_logger(self) -> Any:
        """Make the Julia logger; called by PySR at the start of each search."""
        from pysr import jl

        if not jl.seval("isdefined(Main, :NeuralProposerFronts)"):
            jl.seval(_LOGGER)
        self._live = jl.seval("() -> NeuralProposerFronts.Fronts()")()
        return self._live

    def write_hparams(self, logger: Any, hparams: dict[str, Any]) -> None:
        """Note when the search is over; there is no file."""
        from pysr import jl

        self._over = float(jl.seval("logger -> (time_ns() - logger.start) / 1e9")(logger))

    def close(self, logger: Any) -> None:
        """Do nothing: there is no file."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every change of the front; iterations count those of single populations."""
        live = self._live
        if live is None:
            return ()
        noted = zip(live.seconds, live.counts, live.fronts, live.iterations, strict=True)
        return tuple([Step(float(s), int(e), _front(str(text)), int(i)) for s, e, text, i in noted])

    def steps_with(self, last: tuple[Found, ...]) -> tuple[Step, ...]:
        """Add the front that PySR returned, if it is not the last one noted."""
        steps = self.steps
        if steps and _marks(steps[-1].front) == _marks(last):
            return steps
        return (*steps, Step(self._over, self.evaluations, last, self.iterations))

    @property
    def seconds(self) -> float:
        """When the last iteration finished."""
        return float(self._live.finished) if self._live is not None else 0.0

    @property
    def evaluations(self) -> int:
        """Evaluations by then."""
        return int(self._live.evaluations) if self._live is not None else 0

    @property
    def iterations(self) -> int:
        """Finished iterations of single populations."""
        return int(self._live.calls) if self._live is not None else 0


def _marks(front: tuple[Found, ...]) -> set[tuple[int, str]]:
    return {(found.complexity, f"{found.loss:.3e}") for found in front}


def _front(text: str) -> tuple[Found, ...]:
    rows = [line.split("\t") for line in text.split("\n") if line]
    return tuple([Found(int(complexity), float(loss), equation) for complexity, loss, equation in rows])
