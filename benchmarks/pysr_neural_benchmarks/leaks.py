"""`pysr-neural data check-leaks`: that no expression of a suite, and no held-out one, is trained on.

Owns: the check.  Does not own: the split (`pysr_neural_training.generate`), suites (`suite`).

The keys of all suites are computed anew from their formulas, not read from the list that the generator goes by, and
compared with the keys of problems drawn as training draws them.  Keys do not know the names of variables, signs or the
order of terms, so that a problem counts as leaked if it merely looks like one of a suite.
"""

import argparse
import json
from collections.abc import Sequence

from pysr_neural.expression.canonical import canonical
from pysr_neural.rng import generator
from pysr_neural_benchmarks.suite import held_out_keys, suite_names
from pysr_neural_training.generate import SUITE_KEYS, ProblemPrior, Sampler, is_held_out, split_key

PROBLEMS = 20_000


def check(problems: int, seed: int) -> dict[str, object]:
    """Draw training problems and look for keys that must not occur.

    Returns
    -------
    dict
        ``leaks``: the leaked expressions' count; ``examples``: up to ten of them; ``stale``: suite keys that the
        generator's list lacks; ``problems``, ``keys``.
    """
    from tqdm import tqdm

    forbidden = set(held_out_keys())
    stale = forbidden - set(SUITE_KEYS.read_text().split())
    drawn = iter(Sampler(ProblemPrior(), generator(seed, "train", 0)))
    leaked = []
    for _ in tqdm(range(problems), unit="problem", disable=None):
        tree = next(drawn).tree
        key = split_key(canonical(tree))
        if key in forbidden or is_held_out(key):
            leaked.append(repr(tree))
    return {
        "leaks": len(leaked),
        "examples": leaked[:10],
        "stale": sorted(stale),
        "problems": problems,
        "keys": len(forbidden),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if nothing leaked and the generator's list is current, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural data check-leaks", description=__doc__.split("\n")[0])
    parser.add_argument("--problems", type=int, default=PROBLEMS, help="training problems to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the training stream")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    result = check(options.problems, options.seed)
    print(
        f"{result['leaks']} of {result['problems']:,} training problems share an expression with the held-out problems "
        f"or with the {result['keys']} expressions of {len(suite_names())} suites."
    )
    for text in result["examples"]:  # type: ignore[attr-defined]
        print(f"  leaked: {text}")
    if result["stale"]:
        print(f"{SUITE_KEYS.name} lacks keys of the suites: run python -m pysr_neural_benchmarks.suite")
    if options.json:
        print(json.dumps(result))
    return 1 if result["leaks"] or result["stale"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
