"""Counting a PySR search's evaluations while it runs.

Owns: `EvaluationMeter`, given to PySR as ``logger_spec``.  Does not own: what is done with the rate (`native`,
`overhead`, `traces`).

PySR tells a logger about every finished iteration of every population.  The rate between the first and the last of
these leaves out compilation, start and end, which a clock around `fit` would count.
"""

from typing import Any

_METER = """
module NeuralProposerMeter
using SymbolicRegression: SymbolicRegression
struct Meter <: SymbolicRegression.AbstractSRLogger
    times::Vector{Float64}
    evaluations::Vector{Float64}
    processor::Vector{Float64}
end
const CLOCKS_PER_SECOND = Sys.iswindows() ? 1e3 : 1e6
function SymbolicRegression.logging_callback!(meter::Meter; state, kws...)
    push!(meter.times, time())
    push!(meter.evaluations, sum(sum, state.num_evals))
    push!(meter.processor, ccall(:clock, Clong, ()) / CLOCKS_PER_SECOND)
    return nothing
end
end
"""


class EvaluationMeter:
    """Counts evaluations of one fit at a time; has what PySR asks of a logger specification."""

    def __init__(self) -> None:
        self._live: Any = None

    def create_logger(self) -> Any:
        """Make the Julia logger; called by PySR at the start of each search."""
        from pysr import jl

        if not jl.seval("isdefined(Main, :NeuralProposerMeter)"):
            jl.seval(_METER)
        self._live = jl.seval("() -> NeuralProposerMeter.Meter(Float64[], Float64[], Float64[])")()
        return self._live

    def write_hparams(self, logger: Any, hparams: dict[str, Any]) -> None:
        """Do nothing: there is no file."""

    def close(self, logger: Any) -> None:
        """Do nothing: there is no file."""

    @property
    def evaluations(self) -> float:
        """Evaluations of the latest search."""
        return float(self._live.evaluations[-1]) if self._live is not None and len(self._live.evaluations) else 0.0

    @property
    def rate(self) -> float:
        """Evaluations per second of the latest search, between its first and its last finished iteration.

        NaN if fewer than two iterations finished.
        """
        return self._rate("times")

    @property
    def processor_rate(self) -> float:
        """As `rate`, per second of this process's processors: on a busy machine the steadier one (not on Windows)."""
        return self._rate("processor")

    def _rate(self, clock: str) -> float:
        if self._live is None or len(self._live.times) < 2:
            return float("nan")
        times, evaluations = getattr(self._live, clock), self._live.evaluations
        seconds = float(times[-1]) - float(times[0])
        return (float(evaluations[-1]) - float(evaluations[0])) / seconds if seconds > 0 else float("nan")
