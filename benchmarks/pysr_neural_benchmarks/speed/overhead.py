"""`pysr-neural bench overhead`: what neural help costs PySR in evaluations per second.

Owns: the three ways of fitting, their interleaving, the table.  Does not own: counting (`meter`), the quality of what
is found.

Three estimators search the same data for the same time, turn and turn about: plain (``neural_proposer=None``),
record-only (the plugin's hooks fire, nothing is asked or changed) and neural (``max_overhead="auto"``).  No two
searches are alike and their trees cost differently, so that rates differ by some percent from search to search: the
ratio of the mean rates counts, with a bootstrap interval over rounds.  The first round, as long as the others, compiles
and is left out.  A rate needs two iterations: where these take longer, all searches are made twice as long.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, median
from typing import Any, Literal

import numpy as np

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.interop.report import NeuralReport
from pysr_neural.rng import generator
from pysr_neural_benchmarks.speed.meter import EvaluationMeter

WAYS = ("none", "record", "neural")
TARGETS = {"record": 0.98, "neural": 0.9}
LONGER = 8
"""Times that searches may be made twice as long."""
ROWS, FEATURES = 200, 3
RESAMPLES = 2000
OPERATORS: dict[str, Any] = {"binary_operators": ["+", "-", "*", "/"], "unary_operators": ["cos", "exp"]}
QUIET: dict[str, Any] = {
    "niterations": 10**6,
    "maxsize": 30,
    "progress": False,
    "verbosity": 0,
    "temp_equation_file": True,
    "input_stream": "devnull",
}
"""Of a search of PySR that only time ends, and that says nothing."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    checkpoint : str
    seconds : float
        Length of each search, at least.
    repeats : int
        Rounds of the three.
    max_overhead : float or "auto"
        Of the neural search.
    parallelism : str
        PySR's.
    seed : int
        Of the data.
    """

    checkpoint: str = "default"
    seconds: float = 10.0
    repeats: int = 10
    max_overhead: float | Literal["auto"] = "auto"
    parallelism: str = "multithreading"
    seed: int = 0


@dataclass(frozen=True)
class Overhead:
    """What was measured.

    Parameters
    ----------
    rates : dict of str to tuple of float
        Evaluations per second of each way, one per round.
    engine : str
    served : int
        Proposals that the neural searches took: 0 would mean that nothing was measured.
    model_share : float
        Share of the neural searches' time spent in the model.
    seconds : float
        Length of each search.
    """

    rates: dict[str, tuple[float, ...]]
    engine: str
    served: int
    model_share: float
    seconds: float

    def ratio(self, way: str) -> float:
        """Mean rate of this way over plain PySR's."""
        return mean(self.rates[way]) / mean(self.rates["none"])

    def interval(self, way: str) -> tuple[float, float]:
        """Central 95 % of the ratio when rounds are drawn anew with replacement."""
        mine, plain = np.array(self.rates[way]), np.array(self.rates["none"])
        drawn = generator(0, "bench overhead", "bootstrap").integers(len(mine), size=(RESAMPLES, len(mine)))
        low, high = np.quantile(mine[drawn].mean(axis=1) / plain[drawn].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)

    def to_dict(self) -> dict[str, object]:
        """Return all figures for JSON."""
        return {
            "record_ratio": self.ratio("record"),
            "neural_ratio": self.ratio("neural"),
            "record_interval": self.interval("record"),
            "neural_interval": self.interval("neural"),
            "engine": self.engine,
            "served": self.served,
            "model_share": self.model_share,
            "seconds": self.seconds,
            "evaluations_per_second": {way: mean(rates) for way, rates in self.rates.items()},
            "rates": {way: list(rates) for way, rates in self.rates.items()},
        }


def measure(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> Overhead:
    """Fit in all three ways, interleaved; the first round, which compiles, is not counted.

    Raises
    ------
    EngineUnavailableError
        If PySR's Julia engine cannot be started here.
    ConfigError
        If no search finishes two iterations, however long.
    """
    from pysr_neural.interop.julia import boot

    engine = f"PySR {boot().__version__}"
    for doubled in range(LONGER + 1):
        now = replace(settings, seconds=2**doubled * settings.seconds)
        if doubled:
            progress(f"Two iterations took longer: all searches take {now.seconds:g} s from now on.")
        result = _measured(now, engine, progress)
        if result is not None:
            return result
    raise ConfigError(
        f"A search must finish two iterations to be measured; {now.seconds:g} s were too short. Raise --seconds."
    )


def _measured(settings: Settings, engine: str, progress: Callable[[str], None]) -> Overhead | None:
    """Run all rounds; None as soon as a search was too short to have a rate."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    served, shares = 0, []
    for round_ in range(settings.repeats + 1):
        order = WAYS[round_ % 3 :] + WAYS[: round_ % 3]
        for way in order:
            rate, report = _fit(way, settings)
            if not math.isfinite(rate):
                return None
            if round_ == 0:
                progress(f"warm-up {way:>6}")
                continue
            progress(f"round {round_}/{settings.repeats} {way:>6}: {rate:12,.0f} evaluations/s")
            rates[way].append(rate)
            if way == "neural" and report is not None:
                served += report.served
                shares.append(report.time_share)
    counted = {way: tuple(values) for way, values in rates.items()}
    return Overhead(counted, engine, served, median(shares), settings.seconds)


def _fit(way: str, settings: Settings) -> tuple[float, NeuralReport | None]:
    """Search for the time given; returns evaluations per second, NaN where it was too short, and the report."""
    from pysr_neural.interop.regressor import PySRRegressor

    X, y = data(settings.seed)
    meter = EvaluationMeter()
    model = PySRRegressor(
        **OPERATORS,
        neural_proposer=_proposer(way, settings),
        **QUIET,
        timeout_in_seconds=settings.seconds,
        parallelism=settings.parallelism,
        logger_spec=meter,
    )
    model.fit(X, y)
    return meter.rate, getattr(model, "neural_report_", None)


def _proposer(way: str, settings: Settings) -> NeuralProposer | None:
    if way == "none":
        return None
    if way == "record":
        return NeuralProposer(levels=())
    return NeuralProposer(checkpoint=settings.checkpoint, max_overhead=settings.max_overhead)


def data(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Draw data of a law that no search solves in the time given, so that all three search to the end."""
    rng = generator(seed, "bench overhead")
    X = rng.uniform(-2.0, 2.0, size=(rows, FEATURES))
    y = np.cos(2.3 * X[:, 0]) * np.exp(-(X[:, 1] ** 2)) + X[:, 2] / (1.5 + X[:, 0] ** 2) + rng.normal(0, 0.1, rows)
    return X, y


def table(result: Overhead) -> str:
    """Write the result as text."""
    lines = [f"{'search':<14}{'evaluations/s':>16}{'of plain':>10}{'95 %':>16}{'target':>9}"]
    for way, label in zip(WAYS, ("plain PySR", "record-only", "neural"), strict=True):
        target = TARGETS.get(way)
        line = f"{label:<14}{mean(result.rates[way]):>16,.0f}{result.ratio(way):>10.3f}"
        if target:
            low, high = result.interval(way)
            line += f"{f'{low:.3f}–{high:.3f}':>16}{f'≥ {target}':>9}"
        lines.append(line)
    lines.append(
        f"{result.engine}; {result.served:,} proposals taken, {100 * result.model_share:.1f} % of the neural "
        f"searches' time in the model; {len(result.rates['none'])} interleaved rounds of {result.seconds:g} s"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if both ratios reach their targets, else 1."""
    options = _parser().parse_args(argv)
    settings = Settings(**{name: getattr(options, name) for name in asdict(Settings())})
    result = measure(settings, lambda line: print(line, flush=True))
    print(table(result))
    if options.json:
        print(json.dumps(result.to_dict()))
    return 0 if all(result.ratio(way) >= target for way, target in TARGETS.items()) else 1


def _overhead(text: str) -> float | Literal["auto"]:
    return "auto" if text == "auto" else float(text)


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="pysr-neural bench overhead", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default=defaults.checkpoint, help="'default', a directory, or a hub id")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="length of each search")
    parser.add_argument("--repeats", type=int, default=defaults.repeats, help="rounds of the three searches")
    parser.add_argument("--max-overhead", type=_overhead, default=defaults.max_overhead, help="'auto' or a share")
    parser.add_argument("--parallelism", default=defaults.parallelism, choices=("serial", "multithreading"))
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the data")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
