"""The neural report of a BasicSR search, in the same form as PySR's.

Owns: nothing but the translation of a `SearchResult` into a `NeuralReport`.
"""

from collections.abc import Sequence

from pysr_neural.expression.text import to_string
from pysr_neural.interop.report import NeuralReport
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import SearchResult


def report_of(
    result: SearchResult, config: BasicSRConfig, label: str, names: Sequence[str] | None = None
) -> NeuralReport | None:
    """Return what the injected proposer did; None if there was none.

    Parameters
    ----------
    result : SearchResult
    config : BasicSRConfig
    label : str
        What the proposer is called.
    names : sequence of str, optional
        Of the variables.
    """
    counts = result.counts
    if counts is None:
        return None
    return NeuralReport(
        engine="BasicSR",
        checkpoint=label,
        levels=config.levels,
        calls=counts.calls,
        served=counts.served,
        fallbacks=counts.fallbacks,
        accepted=counts.accepted,
        improved=counts.improved,
        seeded=result.seeded,
        injected=result.injected,
        invalid=dict(counts.invalid),
        skipped=dict(counts.skipped),
        neural_hall_of_fame=tuple(
            to_string(m.tree, names, config.guarded_arithmetic) for m in result.hall_of_fame.front() if m.neural
        ),
        model_seconds=counts.seconds,
        search_seconds=result.seconds,
        failures=tuple(f"{failure.stage}: {failure.message}" for failure in result.failures),
        disabled=("kind: variation 'grow' has one kind",)
        if config.variation == "grow" and "kind" in config.levels
        else (),
    )
