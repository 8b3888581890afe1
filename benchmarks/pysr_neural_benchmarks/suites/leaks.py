"""`pysr-neural data check-leaks`: that no expression of a suite, and no held-out one, is trained on.

Owns: the check.  Does not own: the split (`pysr_neural_training.problems.generate`), suites (`reader`).

The keys of all suites are computed anew from their formulas, not read from the list that the generator goes by, and
compared with the keys of problems drawn as training draws them, or of the problems of datasets.  Keys do not know the
names of variables, signs or the order of terms, so that a problem counts as leaked if it merely looks like one of a
suite.  Datasets of both splits must have no expression in common.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.text import to_string
from pysr_neural.rng import generator
from pysr_neural_benchmarks.suites.reader import held_out_keys, suite_names
from pysr_neural_training.problems.generate import (
    SUITE_KEYS,
    GeneratedProblem,
    ProblemPrior,
    Sampler,
    is_held_out,
    split_key,
)
from pysr_neural_training.problems.reader import Dataset

PROBLEMS = 20_000


def check(problems: int, seed: int) -> dict[str, object]:
    """Draw training problems and look for keys that must not occur.

    Returns
    -------
    dict
        ``leaks``: the leaked expressions' count; ``examples``: up to ten of them; ``stale``: suite keys that the
        generator's list lacks; ``problems``, ``keys``.
    """
    drawn = islice(Sampler(ProblemPrior(), generator(seed, "train", 0)), problems)
    return _result(_leaked([("train", drawn, "")], problems), problems)


def check_datasets(folders: Sequence[Path], skip_corrupt: bool = False) -> dict[str, object]:
    """Look for keys that must not occur in datasets, and for expressions that both splits hold.

    Parameters
    ----------
    folders : sequence of Path
        Of ``pysr-neural data generate``.
    skip_corrupt : bool
        Whether to leave out shards that are missing or not readable.

    Returns
    -------
    dict
        As `check`; and ``skipped``: what was wrong with shards that were left out.

    Raises
    ------
    DatasetError
        If a dataset is empty, mixed or of another version, or a shard is corrupt and is not to be skipped.
    """
    datasets = [Dataset(folder, skip_corrupt) for folder in folders]
    problems = sum(map(len, datasets))
    leaked = _leaked([(each.split, each, f"{each.folder}: ") for each in datasets], problems)
    held_out, trained = (
        {print_ for each in datasets if each.split == split for print_ in each.fingerprints()}
        for split in ("held-out", "train")
    )
    leaked += [f"in both splits: {print_}" for print_ in sorted(held_out & trained)]
    return {**_result(leaked, problems), "skipped": [told for each in datasets for told in each.skipped]}


def _leaked(sources: Sequence[tuple[str, Iterable[GeneratedProblem], str]], total: int) -> list[str]:
    """List the expressions on the wrong side; a source is its split, its problems, and what to say before them."""
    from tqdm import tqdm

    forbidden = set(held_out_keys())
    leaked = []
    with tqdm(total=total, unit="problem", disable=None) as bar:
        for split, problems, where in sources:
            for given in problems:
                key = split_key(canonical(given.tree))
                if key in forbidden or is_held_out(key) != (split == "held-out"):
                    leaked.append(f"{where}{to_string(given.tree)}")
                bar.update()
    return leaked


def _result(leaked: list[str], problems: int) -> dict[str, object]:
    forbidden = set(held_out_keys())
    return {
        "leaks": len(leaked),
        "examples": leaked[:10],
        "stale": sorted(forbidden - set(SUITE_KEYS.read_text().split())),
        "problems": problems,
        "keys": len(forbidden),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if nothing leaked and the generator's list is current, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural data check-leaks", description=__doc__.split("\n")[0])
    parser.add_argument("--problems", type=int, default=PROBLEMS, help="training problems to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the training stream")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--data", type=Path, action="append", help="dataset to check instead; may be repeated")
    parser.add_argument("--skip-corrupt", action="store_true", help="leave out shards that are missing or unreadable")
    options = parser.parse_args(argv)
    if options.data:
        result = check_datasets(options.data, options.skip_corrupt)
    else:
        result = check(options.problems, options.seed)
    for told in result.get("skipped", []):  # type: ignore[attr-defined]
        print(f"Skipped: {told}")
    print(
        f"{result['leaks']} of {result['problems']:,} problems are on the wrong side of the split, or share an "
        f"expression with the {result['keys']} of {len(suite_names())} suites."
    )
    for text in result["examples"]:  # type: ignore[attr-defined]
        print(f"  leaked: {text}")
    if result["stale"]:
        print(f"{SUITE_KEYS.name} lacks keys of the suites: run python -m pysr_neural_benchmarks.suites.reader")
    if options.json:
        print(json.dumps(result))
    return 1 if result["leaks"] or result["stale"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
