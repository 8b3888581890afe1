"""`pysr-neural study imitation --traces FOLDER`: a policy trained on recorded searches, of BasicSR or of PySR.

Owns: which runs are learned from, how alike policy and engine decide on the others, the report.  Does not own: what
traces teach (`pysr_neural_training.policy`), searches by the policy (`imitation`).

No search is made.  The runs of the last problems are held out; on the populations that they met, the policy decides as
well, and the distributions are compared.
"""

import argparse
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.proposer.policy.network import PolicyConfig, PolicyNetwork
from pysr_neural.rng import generator
from pysr_neural.trace.io import Trace
from pysr_neural.trace.schema import PROPOSAL
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.studies.command import end
from pysr_neural_training.policy.agreement import ASPECTS, agreement
from pysr_neural_training.policy.from_traces import Visit, lessons_from, visits_in
from pysr_neural_training.policy.learner import FitConfig, fit

DRAWS = 4
"""Actions of the policy for each of the engine's."""
HELD_OUT = 4
"""One in so many, of the actions learned from, are compared with."""


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Learn from a trace, and compare.

    Raises
    ------
    ConfigError
        If the trace does not have more problems than are to be held out.
    TraceError
        If a run tells no actions, or a proposer made some of its children.
    """
    trace = Trace(options.traces)
    runs = trace.table("runs", ["run", "problem"]).to_pylist()
    problems = sorted({run["problem"] for run in runs})
    if len(problems) <= options.held_out_traces:
        raise ConfigError(
            f"--held-out-traces must leave problems to learn from; got {options.held_out_traces} of {len(problems)}."
        )
    last = problems[-options.held_out_traces :]
    others = {run["run"] for run in runs if run["problem"] in last}
    learned = {run["run"] for run in runs} - others
    share = share_of(trace, learned, options.actions)
    taught = lessons_from(trace, 2 * options.actions, share, options.seed, looks_ahead=False, runs=learned)
    start = PolicyNetwork.initial(PolicyConfig(foresight=False), options.seed)
    network, losses = fit(start, taught.lessons, FitConfig(options.steps, minutes=options.minutes, seed=options.seed))
    options.out.mkdir(parents=True, exist_ok=True)
    network.save(options.out / "policy.safetensors")
    share = share_of(trace, others, options.actions // HELD_OUT)
    before, after = (
        agreement(each, _met(trace, others, share, options.seed), options.seed, DRAWS) for each in (start, network)
    )
    return {
        "told": told_by_kind(trace),
        "runs": len(taught.runs),
        "held_out": len(others),
        "actions": taught.actions,
        "impossible": taught.impossible,
        "losses": losses,
        "untrained": before,
        "variation": after,
    }


def share_of(trace: Trace, runs: Collection[int], actions: int) -> float:
    """Return the share of the populations of some runs that have about so many actions."""
    columns = trace.columns("events", ["run", "action"])
    return min(1.0, actions / max(int(columns["action"][np.isin(columns["run"], list(runs))].sum()), 1))


def told_by_kind(trace: Trace) -> dict[str, tuple[int, int, int]]:
    """Return, by kind, how many proposals there are, of how many the child is known, and of how many the action."""
    columns = trace.columns("events", ["event", "kind", "complexity", "action"])
    event, kinds = columns["event"], columns["kind"]
    proposals = np.array([name == PROPOSAL for name in event.names])[event.ids]
    found = {}
    for number, kind in enumerate(kinds.names):
        own = proposals & (kinds.ids == number)
        known = own & (columns["complexity"] >= 0)
        if own.any():
            found[kind] = (int(own.sum()), int(known.sum()), int((own & columns["action"]).sum()))
    return found


def _met(trace: Trace, runs: Collection[int], share: float, seed: int) -> Iterator[Visit]:
    rng = generator(seed, "agreement")
    for row in trace.table("runs").to_pylist():
        if row["run"] in runs:
            yield from visits_in(trace, row, share, rng, looks_ahead=False)


def report(found: dict[str, Any], command: str) -> str:
    """Write the report."""
    rows = [[aspect, *(f"{found[which][name]:.3f}" for which, name in _compared(aspect))] for aspect in ASPECTS]
    told = [[kind or "other", *map(str, counts)] for kind, counts in sorted(found["told"].items())]
    return f"""# Imitation of recorded searches

`{command}`

Learned: {found["actions"]} actions of {found["runs"]} runs, of which the policy cannot make {found["impossible"]}.
Compared on {found["held_out"]} runs of other problems: total variation between the policy's decisions and the
engine's, {DRAWS} of the policy's for each of the engine's; chance: between two halves of the engine's own.

{markdown_table(["of", "policy", "chance", "policy before training"], rows)}

{markdown_table(["kind", "proposals", "child known", "action known"], told)}
"""


def _compared(aspect: str) -> tuple[tuple[str, str], ...]:
    return (("variation", aspect), ("variation", f"chance_{aspect}"), ("untrained", aspect))


def conclude(options: argparse.Namespace) -> int:
    """Carry the command out; returns the exit status."""
    found = study(options)
    command = f"pysr-neural study imitation --traces FOLDER --held-out-traces {options.held_out_traces}"
    command += (
        f" --actions {options.actions} --steps {options.steps} --minutes {options.minutes:g} --seed {options.seed}"
    )
    return end(report(found, command), {"command": command, **found}, options)
