"""`pysr-neural bench request`: seconds of one request for proposals, beside an earlier build.

Owns: the cases, turn and turn about with the other build, the table.  Does not own: what is asked and timed
(`request_worker`).

The other build is a git worktree of its commit that the command makes, and removes, so that the command needs a
checkout.  Both answer the same requests in processes of their own, one after the other, on one thread; the first of
each case is not counted.  Figures are medians of the processor's seconds, which a crowded machine changes less; a
request takes what it takes from the opening of the search on.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural.proposer.joins.search import FIT_ROWS, MOST_GIVEN, ROUNDS, SCREENED_ROWS

BEFORE = "632941b"
CASES = ((512, 4), (10_000, 10), (200_000, 4))
KINDS = {"seeds": 1, "children": 4}
"""What is asked for, and how many requests of a search are timed: the model is asked in some of them only."""
ROOTS = (".", "python_baseline", "training", "benchmarks")
HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class Case:
    """Figures of one case.

    Parameters
    ----------
    rows, features : int
    kind : str
        64 ``"seeds"``, or 64 ``"children"`` with 20 members: the mean of the first four requests.
    seconds, before_seconds : float
        Of a request, by this build and the other.
    ratio : float
        Median of the ratios of requests that were answered one after the other.
    share_model, share_join, share_refine : float
        Of this build's seconds: encoding and sampling; joining; the fit of constants outside of it.
    """

    rows: int
    features: int
    kind: str
    seconds: float
    before_seconds: float
    ratio: float
    share_model: float
    share_join: float
    share_refine: float


def measure(rounds: int, before: str = BEFORE, cases: tuple[tuple[int, int], ...] = CASES) -> list[Case]:
    """Measure all cases; see the module.

    Raises
    ------
    ConfigError
        If the other build cannot be had.
    """
    found = []
    with _worktree(before) as other, _worker(HERE.parents[3]) as ours, _worker(other) as theirs:
        for rows, features in cases:
            for kind, requests in KINDS.items():
                pairs = []
                for seed in range(rounds + 1):
                    asked = {"rows": rows, "features": features, "kind": kind, "requests": requests, "seed": seed}
                    pairs.append((_ask(ours, asked), _ask(theirs, asked)))
                found.append(_figures(rows, features, kind, pairs[1:]))
    return found


def _figures(rows: int, features: int, kind: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> Case:
    total = sum(ours["seconds"] for ours, _ in pairs)
    shares = {part: sum(ours["parts"][part] for ours, _ in pairs) / total for part in ("model", "join", "refine")}
    return Case(
        rows,
        features,
        kind,
        median(ours["seconds"] for ours, _ in pairs),
        median(theirs["seconds"] for _, theirs in pairs),
        median(ours["seconds"] / theirs["seconds"] for ours, theirs in pairs),
        *[round(shares[part], 3) for part in ("model", "join", "refine")],
    )


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    """Check a commit out beside the checkout, for as long as it is needed."""
    root = HERE.parents[3]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "before"
        made = subprocess.run(
            ["git", "-C", str(root), "worktree", "add", "--detach", str(path), commit],
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise ConfigError(
                f"bench request needs a git checkout that holds {commit}; git says: {made.stderr.strip()}"
            )
        try:
            yield path
        finally:
            subprocess.run(["git", "-C", str(root), "worktree", "remove", "--force", str(path)], check=False)


@contextmanager
def _worker(root: Path) -> Iterator["subprocess.Popen[str]"]:
    paths = os.pathsep.join(str(root / part) for part in ROOTS)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, str(HERE.with_name("request_worker.py"))],
        env=os.environ | threads | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=60)


def _ask(process: "subprocess.Popen[str]", asked: dict[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("The worker was started with pipes.")
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise ConfigError(f"A worker of bench request must answer; it ended with status {process.wait()}.")
    answer: dict[str, Any] = json.loads(line)
    return answer


def joins_memory() -> int:
    """Return the most bytes that the parts of one search hold: values of all rounds, and the last round's arrays."""
    most, firsts = max(most for most, *_ in ROUNDS), max(firsts for _, firsts, *_ in ROUNDS)
    parts = most + 2 * MOST_GIVEN
    return 2 * parts * FIT_ROWS * 8 + parts * SCREENED_ROWS * (8 + 8 + 4 * 4) + 8 * firsts * parts * 8


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench request", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12, help="requests of each case (default %(default)s)")
    parser.add_argument("--before", default=BEFORE, help="commit of the other build (default %(default)s)")
    parser.add_argument("--smoke", action="store_true", help="one request of the smallest case")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    cases = measure(1, options.before, CASES[:1]) if options.smoke else measure(options.rounds, options.before)
    print(f"{'rows':>8} {'features':>8}  kind      seconds  before  ratio  model   join  refine")
    for case in cases:
        print(
            f"{case.rows:>8} {case.features:>8}  {case.kind:<8} {case.seconds:>8.4f} {case.before_seconds:>7.3f} "
            f"{case.ratio:>6.3f} {case.share_model:>6.0%} {case.share_join:>6.0%} {case.share_refine:>7.0%}"
        )
    memory = joins_memory()
    print(f"The parts of one search hold at most {memory / 2**20:.0f} MiB, whatever the number of rows.")
    if options.json:
        print(json.dumps({"before": options.before, "cases": [asdict(each) for each in cases], "memory": memory}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
