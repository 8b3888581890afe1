"""`pysr-neural bench native`: what the step that looks ahead costs PySR.

Owns: both ratios and their table.  Does not own: the step (the Julia package), its training
(`pysr_neural_training.policy.distil`), what it finds (`runner` with the method ``pysr-foresight``).

``step_ratio``: the same population goes through some cycles of PySR's evolution again and again, once with ordinary
mutations, once with mutations that all look ahead, in turns.  Both sides are whole steps as PySR makes them: the
tournament, the parent's copy, the mutation, constraints, the child's evaluation (larger children cost more),
acceptance, the hall of fame, the hooks of all plugins; crossovers are off.  Members get new references each time, so
that nothing is known of them from the time before.  The ratio is of the medians of the pieces: a collection of Julia's
garbage takes as long as a thousand steps and would decide alone.  ``evaluations_ratio``: whole searches of the same
data, in turns, at the share of mutations that users get, with all that belongs to them; Julia's garbage is collected
before each, since a full collection takes a third of a second, comes every few searches and would decide a turn.
All times are of the processor, so that a busy machine does less harm; medians of the turns' ratios count.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural_benchmarks.methods.pysr import looking_ahead
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.speed.meter import EvaluationMeter
from pysr_neural_benchmarks.speed.overhead import FEATURES, OPERATORS, QUIET, ROWS, data

STEP_AIM, EVALUATIONS_AIM = 1.3, 0.9
ALL_STEPS = 0.999
CYCLES = 50
"""Of a timed piece: few, so that the population stays about what it was."""
PIECES = 60
EVOLVED = 2000
"""Cycles that the population goes through before."""
COMPILES = 2.0
"""Seconds of a search, for its compiled options."""
_STEPS = """
module NativeSteps
using SymbolicRegression: SymbolicRegression as SR
struct Steps{P,D,O,S}
    population::P
    dataset::D
    options::O
    states::S
end
function Steps(population, dataset, options)
    heads = SR.init_plugin_states(options, dataset)
    states = map((plugin, head) -> SR.fork_plugin_state(head, plugin, dataset), options.plugins, heads)
    return Steps(population, dataset, options, states)
end
function evolved(options, X, y, cycles)
    dataset = SR.Dataset(X, y)
    SR.update_baseline_loss!(dataset, options)
    plugin_states = SR.init_plugin_states(options, dataset)
    population = SR.Population(dataset; options.population_size, options, nfeatures=size(X, 1), plugin_states)
    first = Steps(population, dataset, options)
    evolved, _, _ = SR.s_r_cycle(
        dataset, population, cycles, options.maxsize; options, trace=nothing, plugin_states=first.states
    )
    return evolved, dataset
end
function seconds(steps::Steps, cycles)
    population = copy(steps.population)
    foreach(member -> member.ref = rand(1:typemax(Int)), population.members)
    began = ccall(:clock, Clong, ())
    SR.s_r_cycle(
        steps.dataset, population, cycles, steps.options.maxsize; steps.options, trace=nothing,
        plugin_states=steps.states,
    )
    return (ccall(:clock, Clong, ()) - began) / 1e6
end
middle(times) = sort(times)[cld(length(times), 2)]
function ratio(plain::Steps, ahead::Steps, cycles, pieces)
    times = [(seconds(plain, cycles), seconds(ahead, cycles)) for _ in 1:pieces]
    return middle(last.(times)) / middle(first.(times)), middle(first.(times)), middle(last.(times))
end
end
"""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    seconds : float
        Of each search.
    repeats : int
        Turns of both measurements.
    rows : int
        Of the data.
    seed : int
    share : float
        Of mutations that look ahead, in whole searches.
    places : int
        That a step looks at.
    """

    seconds: float = 10.0
    repeats: int = 7
    rows: int = ROWS
    seed: int = 0
    share: float = NeuralProposerPlugin.foresight_share
    places: int = NeuralProposerPlugin.foresight_places


def searched(settings: Settings, seconds: float, plugins: Sequence[Any], **changes: Any) -> tuple[Any, float]:
    """Search once; returns the estimator, and evaluations per second of the processor."""
    from pysr import jl

    from pysr_neural import PySRRegressor

    meter = EvaluationMeter()
    jl.GC.gc()
    model = PySRRegressor(
        **OPERATORS,
        plugins=list(plugins),
        **QUIET,
        timeout_in_seconds=seconds,
        parallelism="serial",
        logger_spec=meter,
        **changes,
    )
    model.fit(*data(settings.seed, settings.rows))
    return model, meter.processor_rate


def step_ratios(settings: Settings) -> list[tuple[float, float, float]]:
    """Return of each turn the time of a step that looks ahead over an ordinary one's, and microseconds of both."""
    from pysr import jl

    jl.seval(_STEPS)
    steps: list[Any] = []
    for plugins in ([], [looking_ahead(foresight_share=ALL_STEPS, foresight_places=settings.places)]):
        model, _ = searched(settings, COMPILES, plugins, crossover_probability=0.0)
        if not steps:
            X, y = data(settings.seed, settings.rows)
            to_columns = jl.seval("(X, y) -> (permutedims(Float32.(X)), Float32.(y))")
            population, dataset = jl.NativeSteps.evolved(model.julia_options_, *to_columns(X, y), EVOLVED)
            of_a_cycle = -(-model.population_size // model.tournament_selection_n)
        steps.append(jl.NativeSteps.Steps(population, dataset, model.julia_options_))
    made = CYCLES * of_a_cycle / 1e6
    turns = [tuple(map(float, jl.NativeSteps.ratio(*steps, CYCLES, PIECES))) for _ in range(settings.repeats + 1)]
    return [(ratio, plain / made, ahead / made) for ratio, plain, ahead in turns[1:]]  # The first compiles.


def rates(settings: Settings, progress: Callable[[str], None]) -> dict[str, list[float]]:
    """Return evaluations per second of whole searches, by way and turn; the first turn compiles and is left out."""
    ways: dict[str, list[Any]] = {
        "plain": [],
        "foresight": [looking_ahead(foresight_share=settings.share, foresight_places=settings.places)],
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(-1, settings.repeats):
        for way in list(ways)[:: -1 if turn % 2 else 1]:
            _, rate = searched(settings, settings.seconds, ways[way])
            if turn >= 0:
                found[way].append(rate)
                progress(f"turn {turn + 1}/{settings.repeats} {way:>9}: {rate:12,.0f} evaluations/s")
    return found


def measure(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure both ratios.

    Raises
    ------
    EngineUnavailableError
        If PySR's Julia engine cannot be started here.
    """
    from pysr_neural.interop.julia import load_package

    load_package()
    searches = rates(settings, progress)
    steps = step_ratios(settings)
    ratios = [ahead / plain for plain, ahead in zip(searches["plain"], searches["foresight"], strict=True)]
    return {
        "step_ratio": median(ratio for ratio, _, _ in steps),
        "evaluations_ratio": median(ratios),
        "step_ratios": [ratio for ratio, _, _ in steps],
        "step_microseconds": {way: median(step[i] for step in steps) for i, way in ((1, "plain"), (2, "foresight"))},
        "evaluations_ratios": ratios,
        "evaluations_per_second": {way: median(each) for way, each in searches.items()},
        **asdict(settings),
    }


def table(found: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    rows = [
        ["a step that looks ahead, of an ordinary one's time", f"{found['step_ratio']:.2f}", f"≤ {STEP_AIM}"],
        ["evaluations per second, of plain PySR's", f"{found['evaluations_ratio']:.2f}", f"≥ {EVALUATIONS_AIM}"],
    ]
    return markdown_table([f"{found['rows']} rows, {FEATURES} variables", "median", "aim"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if both ratios reach their aims, else 1."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="pysr-neural bench native", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="length of each search")
    parser.add_argument("--repeats", type=int, default=defaults.repeats, help="turns of both measurements")
    parser.add_argument("--rows", type=int, default=defaults.rows, help="of the data")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the data")
    parser.add_argument("--share", type=float, default=defaults.share, help="of mutations that look ahead")
    parser.add_argument("--places", type=int, default=defaults.places, help="that a step looks at")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    settings = Settings(**{name: getattr(options, name) for name in asdict(defaults)})
    found = measure(settings, lambda line: print(line, flush=True))
    print(table(found))
    if options.json:
        print(json.dumps(found))
    return 0 if found["step_ratio"] <= STEP_AIM and found["evaluations_ratio"] >= EVALUATIONS_AIM else 1


if __name__ == "__main__":
    raise SystemExit(main())
