"""What a worker process does: fits of one method, or questions to SymPy, one request after the other.

Owns: the child's side of the pipe, its cores, its end.  Does not own: limits (`runner.arms`, the parent's side).

A request is one line of JSON on standard input; an answer is one line on a pipe of its own, so that whatever a method
writes to standard output or standard error goes into a log, and harms nothing.  When the parent dies, standard input
ends, and so does this process, even in the middle of a fit.  Where a library holds the interpreter, nothing in this
process can look: an alarm of the operating system ends it some time after the parent would have.
"""

import json
import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from pysr_neural_benchmarks.suites.data import Case

PARENT_FIRST = 30
"""Seconds that a living parent is ahead of the alarm."""
Answer = dict[str, Any]
Service = Callable[[dict[str, Any]], Answer]


def fits(method: str) -> Service:
    """Make the service that fits one method; the method is made at once, warmed up for every operator set."""
    from pysr_neural_benchmarks.methods.registry import make

    made = make(method)
    warmed: set[tuple[str, ...]] = set()

    def serve(request: dict[str, Any]) -> Answer:
        from pysr_neural_benchmarks.judging.scoring import score
        from pysr_neural_benchmarks.methods.base import Budget
        from pysr_neural_benchmarks.suites.data import draw
        from pysr_neural_benchmarks.suites.reader import load_suite

        case = Case(**request["case"])
        source = next(each for each in load_suite(case.suite) if each.name == case.problem)
        drawn = draw(source, case)
        names = drawn.problem.operators.names
        if request["prepare"]:
            if names not in warmed:
                made.warm_up(_small(drawn.problem))
                warmed.add(names)
            return {"versions": versions()}
        budget = Budget(**request["budget"])
        outcome = made.fit(drawn.problem, budget, request["seed"])
        return score(outcome, drawn.X_test, drawn.y_test, drawn.problem.limits.max_size, budget, drawn.problem.y)

    return serve


def _small(problem: Any) -> Any:
    """Make a problem of the same operators and limits, with rows that any method can fit."""
    from dataclasses import replace

    import numpy as np

    X = np.random.default_rng(0).uniform(0.5, 2.0, problem.X.shape)
    return replace(problem, X=X, y=np.sin(3 * X[:, 0]) / X[:, 0] + np.exp(-X[:, -1]) * X[:, 0])


def symbolic() -> Service:
    """Make the service that tells whether an equation is a problem's formula."""

    def serve(request: dict[str, Any]) -> Answer:
        from pysr_neural_benchmarks.judging.symbolic import is_recovered
        from pysr_neural_benchmarks.suites.data import draw
        from pysr_neural_benchmarks.suites.reader import load_suite

        case = Case(**request["case"])
        source = next(each for each in load_suite(case.suite) if each.name == case.problem)
        X = draw(source, case).X_test
        return {"recovered": is_recovered(request["equation"], (source.tree, *source.accept), X)}

    return serve


def versions() -> dict[str, str]:
    """Return the versions of what runs in this process."""
    from importlib.metadata import PackageNotFoundError, version

    known = {}
    for name in ("pysr-neural", "numpy", "torch", "pysr", "gplearn", "pyoperon", "flash-ansr", "rils-rols", "psrn"):
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    if "juliacall" in sys.modules:
        known["julia"] = str(sys.modules["juliacall"].Main.VERSION)
        known["SymbolicRegression"] = str(sys.modules["juliacall"].Main.seval("pkgversion(SymbolicRegression)"))
    return known


def main(argv: list[str]) -> int:
    """Serve until standard input ends: arguments are the answers' file descriptor, cores, and what to serve."""
    descriptor, cores, kind, *rest = argv
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(_own_input(), requests), daemon=True).start()
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as answers:
        service: Service | None = None
        while True:
            request = json.loads(requests.get())
            _end_after(request.pop("seconds", None))
            try:
                service = service or (fits(rest[0]) if kind == "fits" else symbolic())
                answer: Answer = {"status": "ok", **service(request)}
            # A method's own error of any kind is a result like any other.
            except Exception as error:  # noqa: BLE001
                answer = {"status": "error", "message": _told(error)}
            _end_after(None)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _end_after(seconds: float | None) -> None:
    """Have the operating system end this process, if its parent does not; None takes that back."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(0 if seconds is None else math.ceil(seconds) + PARENT_FIRST)


def _told(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"


def _own_input() -> TextIO:
    """Take standard input away from the method: Julia makes it non-blocking, and a method might read it."""
    own = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return os.fdopen(own, encoding="utf-8")


def _read(source: TextIO, requests: "queue.Queue[str]") -> None:
    for line in source:
        requests.put(line)
    os._exit(0)


def request_of(case: Case, **more: Any) -> dict[str, Any]:
    """Return a request about a case."""
    return {"case": asdict(case), **more}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
