"""Methods that do one thing each, registered through an entry point of a package that is not ours."""

import os
import sys
import time

from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step


class Scripted:
    """Finds the problem's formula x0^3 + x0^2 + x0 late, or misbehaves, as its argument says."""

    def __init__(self, argument: str, checkpoint: str) -> None:
        self.way = argument

    def warm_up(self, problem):
        if self.way == "nostart" or (self.way == "late" and "NO_ENGINE" in os.environ):
            raise RuntimeError("no engine here")

    def fit(self, problem, budget: Budget, seed: int) -> Outcome:
        getattr(self, self.way or "solves")()
        early = Found(1, 1.0, "x0")
        late = Found(11, 0.0, "((x0 * (x0 * x0)) + ((x0 * x0) + x0))")
        found = (Step(0.1, 10, (early,), 1), Step(0.6, 60, (early, late), 6))
        return Outcome(found, 1.0, 100, 10)

    def solves(self):
        pass

    late = solves

    def naps(self):
        time.sleep(0.5)

    def hangs(self):
        time.sleep(60)

    def dies(self):
        print("about to die")
        sys.stdout.flush()
        os.kill(os.getpid(), 9)

    def raises(self):
        raise ValueError("a bad day")

    def eats(self):
        self.memory = bytearray(1_200_000_000)
        for i in range(0, len(self.memory), 4096):
            self.memory[i] = 1
        time.sleep(30)

    def chatters(self):
        print('{"status": "ok", "fvu": 0}\n' * 2000)
        os.write(1, b"\xff\x00 not text\n")
        sys.stdin.read()

    def clock(self):
        time.time = lambda: 0.0
