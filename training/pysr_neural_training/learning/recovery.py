"""`pysr-neural bench recovery`: how many held-out problems the proposer solves by sampling alone.

Owns: the measurement that decides whether a checkpoint is real: candidates of the model against as many candidates of
the training prior, all refined by least squares.  Does not own: searches with an engine.

A problem counts as recovered if any candidate, its constants refined on the problem's points, leaves a fraction of
variance unexplained of at most 1e-9 on fresh, noiseless points; where the problem's values have noise, a tenth of the
noise's variance.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.canonical import fingerprint
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, mean_squared_error, refine
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.operators import Array
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.joins.once import combinations
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural.state import MemberView
from pysr_neural.wire.prompt import MAX_MEMBERS, best_members
from pysr_neural_training.problems.generate import (
    GeneratedProblem,
    ProblemPrior,
    Sampler,
    sample_operators,
    sample_tree,
)

ARMS = ("model", "direct", "combined", "prior", "unconditioned")
"""Model asked as an engine asks; model asked once, data alone, parts not combined; training prior told the problem's
operators and number of variables, parts combined as the proposer does; the same prior without that; training prior told
nothing."""
THRESHOLD = 1e-9
FIT_THRESHOLD = 1e-6
NOISE_SHARE = 0.1
POINTS = 64
REFINE_EVALUATIONS = 80
SIZES = ((1, 5), (6, 9), (10, 15), (16, 30))
"""Classes of problems: least and most nodes of the true expression."""


def held_out_problems(count: int, seed: int, max_size: int) -> list[tuple[GeneratedProblem, Array, Array]]:
    """Draw noiseless held-out problems of distinct expressions, each with fresh points to test on.

    Returns
    -------
    list of (problem, X_test, y_test)
    """
    rng = generator(seed, "recovery")
    prior = ProblemPrior(noise_share=0.0, rows=(POINTS,), row_weights=(1.0,), max_size=max_size)
    chosen: dict[str, tuple[GeneratedProblem, Array, Array]] = {}
    for given in Sampler(prior, rng, held_out=True):
        X_test = given.problem.X[rng.permutation(POINTS)] * rng.uniform(0.9, 1.1, given.problem.X.shape)
        y_test = evaluate(given.tree, X_test)
        finite = np.isfinite(y_test)
        print_ = fingerprint(given.tree)
        if print_ not in chosen and finite.sum() >= 32:
            chosen[print_] = (given, X_test[finite], y_test[finite])
        if len(chosen) == count:
            return list(chosen.values())
    raise AssertionError("the sampler never ends")


def disturbed(given: GeneratedProblem, points: int, noise: float, seed: int) -> GeneratedProblem:
    """Take a problem's first points, and add normal noise of a standard deviation relative to that of y."""
    problem = given.problem
    error = noise * float(np.std(problem.y)) * generator(seed, "noise").standard_normal(len(problem.y))
    return replace(given, problem=replace(problem, X=problem.X[:points], y=(problem.y + error)[:points]), noise=noise)


def recovers(trees: list[Node], given: GeneratedProblem, X_test: Array, y_test: Array) -> bool:
    """Tell whether a candidate is the answer, after refinement of its constants."""
    X, y = given.problem.X, given.problem.y
    allowed = max(THRESHOLD, NOISE_SHARE * given.noise**2)
    fit_allowed = max(FIT_THRESHOLD, 4 * given.noise**2)  # Looser: it only spares the second evaluation.
    for tree in trees:
        fitted, _ = refine(tree, X, y, REFINE_EVALUATIONS)
        if fraction_unexplained(evaluate(fitted, X), y) <= fit_allowed and (
            fraction_unexplained(evaluate(fitted, X_test), y_test) <= allowed
        ):
            return True
    return False


def direct_candidates(
    proposer: TransformerProposer, given: GeneratedProblem, draws: int, seed: int, temperature: float
) -> list[Node]:
    """Draw once from the data alone; exactly ``draws`` samples, of which the distinct ones are returned."""
    problem = given.problem
    rng = generator(seed, "model")
    with torch.inference_mode():
        drawn = proposer.open(problem).explain(problem.y, problem.limits.max_size, draws, temperature, rng)
    return [tree for tree, _ in drawn]


def session_candidates(
    proposer: TransformerProposer, given: GeneratedProblem, draws: int, seed: int, temperature: float
) -> list[Node]:
    """Ask as an engine does: first from the data alone, then three times with the best so far as population.

    ``draws`` children are asked for in all; those that come are the candidates.
    """
    session = proposer.open(given.problem)
    members: dict[Node, MemberView] = {}
    quarter = draws // 4
    for turn in range(4):
        population = tuple(best_members(tuple(members.values()), MAX_MEMBERS))
        request = ProposalRequest(population, quarter, ("seed", "child"), seed + turn, temperature)
        for child in session.propose(request).children:
            loss = mean_squared_error(child.tree, given.problem.X, given.problem.y)
            members[child.tree] = MemberView(child.tree, loss, child.tree.size)
    return list(members)


def prior_candidates(given: GeneratedProblem, draws: int, seed: int) -> list[Node]:
    """Draw from the training prior, given only the problem's operators and number of variables."""
    rng = generator(seed, "prior")
    prior = ProblemPrior(max_size=given.problem.limits.max_size)
    features = given.problem.X.shape[1]
    drawn: dict[Node, None] = {}
    for _ in range(draws):
        drawn.setdefault(simplify(sample_tree(prior, given.problem.operators, features, rng)))
    return list(drawn)


def combined_candidates(given: GeneratedProblem, draws: int, seed: int) -> list[Node]:
    """Draw from the training prior as `prior_candidates` does, and combine the parts."""
    problem = given.problem
    drawn = prior_candidates(given, draws, seed)
    return drawn + combinations(drawn, problem.X, problem.y, problem.operators, problem.limits.max_size)


def unconditioned_candidates(given: GeneratedProblem, draws: int, seed: int) -> list[Node]:
    """Draw from the training prior, given nothing: operators and number of variables are drawn too."""
    rng = generator(seed, "unconditioned")
    prior = ProblemPrior(max_size=given.problem.limits.max_size)
    drawn: dict[Node, None] = {}
    for _ in range(draws):
        operators = sample_operators(rng)
        features = 1 + int(rng.choice(len(prior.feature_weights), p=prior.feature_weights))
        drawn.setdefault(simplify(sample_tree(prior, operators, features, rng)))
    known = set(range(given.problem.X.shape[1]))
    return [tree for tree in drawn if tree.variables() <= known]


def measure(
    checkpoint: str,
    problems: int,
    draws: int,
    seed: int,
    temperature: float,
    max_size: int,
    arms: Sequence[str],
    points: int,
    noise: float,
) -> dict[str, object]:
    """Measure recovery by several arms on the same problems; see `ARMS`."""
    from tqdm import tqdm

    proposer = TransformerProposer.from_checkpoint(checkpoint)
    given_problems = held_out_problems(problems, seed, max_size)
    draw: dict[str, Callable[[GeneratedProblem, int], list[Node]]] = {
        "model": lambda given, at: session_candidates(proposer, given, draws, at, temperature),
        "direct": lambda given, at: direct_candidates(proposer, given, draws, at, temperature),
        "combined": lambda given, at: combined_candidates(given, draws, at),
        "prior": lambda given, at: prior_candidates(given, draws, at),
        "unconditioned": lambda given, at: unconditioned_candidates(given, draws, at),
    }
    solved: dict[str, list[bool]] = {name: [] for name in arms}
    seconds = dict.fromkeys(arms, 0.0)
    for i, (clean, X_test, y_test) in enumerate(tqdm(given_problems, unit="problem")):
        given = disturbed(clean, points, noise, seed + i)
        for name, outcomes in solved.items():
            began = time.perf_counter()
            trees = draw[name](given, seed + i)
            outcomes.append(recovers(trees, given, X_test, y_test))
            seconds[name] += time.perf_counter() - began
    return {
        "problems": problems,
        "draws": draws,
        "seed": seed,
        "temperature": temperature,
        "points": points,
        "noise": noise,
        "recovered": {name: sum(outcomes) for name, outcomes in solved.items()},
        "by_size": _by_size(solved, np.array([given.tree.size for given, _, _ in given_problems])),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def _by_size(solved: Mapping[str, Sequence[bool]], sizes: Array) -> dict[str, dict[str, int]]:
    """Count problems, and those that each arm solved, in classes of the nodes of the true expression."""
    classes = {f"{low}-{high}": (sizes >= low) & (sizes <= high) for low, high in SIZES}
    return {
        name: {arm: int(np.array(each)[members].sum()) for arm, each in solved.items()}
        | {"problems": int(members.sum())}
        for name, members in classes.items()
    }


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench recovery", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--draws", type=int, default=256)
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-size", type=int, default=25)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--points", type=int, default=POINTS, help=f"of each problem, at most {POINTS}")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation, relative to that of y")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    if not (2 <= options.points <= POINTS and 0 <= options.noise < np.inf):
        raise ConfigError(
            f"--points must be from 2 to {POINTS} and --noise at least 0; got {options.points} and {options.noise}."
        )
    result = measure(**{name: value for name, value in vars(options).items() if name != "json"})
    print(f"Recovered of {result['problems']} held-out problems by {result['draws']} draws each:")
    print(f"{'nodes':>8} {'problems':>9}" + "".join(f"{arm:>15}" for arm in options.arms))
    rows = {**result["by_size"], "all": {"problems": options.problems, **result["recovered"]}}  # type: ignore[dict-item]
    for size, row in rows.items():
        print(f"{size:>8} {row['problems']:>9}" + "".join(f"{row[arm]:>15}" for arm in options.arms))
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
