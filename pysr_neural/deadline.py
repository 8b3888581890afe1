"""How long something may take: `Deadline`.

Owns: nothing but the comparison of a clock with a moment.  Does not own: what happens when time is up.
"""

import math
import time
from collections.abc import Callable


class Deadline:
    """A moment on a clock.

    Parameters
    ----------
    seconds : float, optional
        From now; without any, the moment never comes.
    clock : callable, optional
        Seconds, monotonic.
    """

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.moment = math.inf if seconds is None else clock() + seconds

    def passed(self) -> bool:
        """Tell whether time is up."""
        return self.moment != math.inf and self.clock() >= self.moment

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0; infinite where there is no limit."""
        return max(self.moment - self.clock(), 0.0) if self.moment != math.inf else math.inf
