"""One part of a trace: some searches, run one after the other, as the bytes of its files.

Owns: running and recording searches with either engine.  Does not own: which searches there are (`generate`), where
jobs run (`pysr_neural_training.workers`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from pysr_neural._optional import require
from pysr_neural.errors import TraceError
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.trace.io import Trace, encode_table
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.recorder import record_search

if TYPE_CHECKING:
    import pyarrow as pa

ENGINES = ("basic", "pysr")
RECORDED = ("runs", "members", "events")
Tables = dict[str, "pa.Table"]


@dataclass(frozen=True)
class Settings:
    """How every search of a dataset is run.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    preset : str
        BasicSR's preset.
    changes : mapping
        Settings in place of the preset's, or of PySR's defaults.
    neural : str
        ``"module:attribute"``, ``"random"`` or a checkpoint; empty for none.
    population_rate : float
        Share of populations recorded.
    """

    engine: str
    preset: str
    changes: Mapping[str, Any]
    neural: str
    population_rate: float

    def basic(self) -> BasicSRConfig:
        """Return BasicSR's configuration; a proposer's time is not limited, so that a seed gives the same search."""
        return BasicSRConfig.of(self.preset, **{"guard": GuardRules(max_overhead=1.0), **self.changes})


@dataclass(frozen=True)
class Search:
    """One search to be run."""

    run: int
    problem_number: int
    problem: Problem
    seed: int


@dataclass(frozen=True)
class Job:
    """The searches of one part."""

    part: int
    searches: tuple[Search, ...]
    settings: Settings


def run_job(job: Job) -> dict[str, bytes]:
    """Run a job's searches; returns the files of its part."""
    pa = require("pyarrow", "training", "A trace")
    engine = record_pysr if job.settings.engine == "pysr" else record_basic
    found = [engine(search, job.settings) for search in job.searches]
    return {
        name: encode_table(pa.concat_tables([tables[name] for tables in found]).unify_dictionaries())
        for name in RECORDED
    }


def record_basic(search: Search, settings: Settings) -> Tables:
    """Run and record one search of BasicSR."""
    proposer = proposer_named(settings.neural) if settings.neural else None
    return record_search(
        search.problem,
        settings.basic(),
        proposer,
        search.seed,
        run=search.run,
        problem_number=search.problem_number,
        population_rate=settings.population_rate,
        proposer_name=settings.neural,
    ).tables


@cache
def proposer_named(name: str) -> Proposer:
    """Load a proposer, once per process."""
    from pysr_neural.proposer.load import load_proposer

    given = name if name == "random" or ":" in name else "transformer"
    return load_proposer(given, name, "cpu")


def record_pysr(search: Search, settings: Settings) -> Tables:
    """Run and record one search of PySR, through the Julia plugin in record mode."""
    from pysr_neural import NeuralProposer, PySRRegressor

    help_given: dict[str, Any] = {"levels": ()}
    if settings.neural:
        help_given = {"proposer" if ":" in settings.neural else "checkpoint": settings.neural, "seed": search.seed}
    problem = search.problem
    with TemporaryDirectory() as folder:
        proposer = NeuralProposer(**help_given, trace=folder, trace_rate=settings.population_rate)
        model = PySRRegressor(**pysr_parameters(search, settings), neural_proposer=proposer)
        model.fit(problem.X, problem.y, variable_names=list(problem.variable_names or ()) or None)
        return _renumbered(Trace(Path(folder)), search, settings)


def pysr_parameters(search: Search, settings: Settings) -> dict[str, Any]:
    """Return PySR's parameters for a search: reproducible and quiet, unless the settings say otherwise."""
    operators = search.problem.operators
    return {
        "binary_operators": list(operators.of_arity(2)),
        "unary_operators": list(operators.of_arity(1)),
        "maxsize": search.problem.limits.max_size,
        "random_state": search.seed,
        "deterministic": True,
        "parallelism": "serial",
        "progress": False,
        "verbosity": 0,
        "temp_equation_file": True,
        **settings.changes,
    }


def _renumbered(trace: Trace, search: Search, settings: Settings) -> Tables:
    if not trace.parts:
        raise TraceError(f"PySR must leave a trace of run {search.run}; it left none. Its warnings above say why.")
    pa = require("pyarrow", "training", "A trace")
    values = {
        "run": search.run,
        "problem": search.problem_number,
        "seed": search.seed,
        "proposer": settings.neural,
        "config": json.dumps(dict(settings.changes), sort_keys=True, default=str),
    }
    tables = {}
    for name in RECORDED:
        table = trace.table(name)
        for column, value in values.items():
            at = table.schema.get_field_index(column)
            if at >= 0:
                field = table.schema.field(at)
                same = [value] * len(table) if isinstance(value, str) else np.full(len(table), value)
                table = table.set_column(at, field, pa.array(same, type=field.type))
        tables[name] = table
    return tables
