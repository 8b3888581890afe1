"""Signs of life while an engine searches: a bar with the time left, or a line now and then.

Owns: `progress`.  Does not own: the search, which runs in the calling thread and need not report.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

TICK, PLAIN_TICK = 0.5, 10.0
"""Seconds between signs of life on a terminal, and where output is not a terminal."""


@contextmanager
def progress(seconds: float) -> Iterator[None]:
    """Show elapsed and remaining seconds on standard error while the body runs."""
    done = Event()
    show = _bar if sys.stderr.isatty() else _lines
    thread = Thread(target=show, args=(seconds, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bar(seconds: float, done: Event) -> None:
    from tqdm import tqdm

    started = monotonic()
    with tqdm(total=seconds, leave=False, file=sys.stderr, bar_format="  searching |{bar:30}| {desc}") as bar:
        while not done.wait(TICK):
            elapsed = monotonic() - started
            bar.set_description_str(_times(elapsed, seconds), refresh=False)
            bar.n = min(elapsed, seconds)
            bar.refresh()


def _lines(seconds: float, done: Event) -> None:
    started = monotonic()
    while not done.wait(PLAIN_TICK):
        print(f"  searching: {_times(monotonic() - started, seconds)}", file=sys.stderr, flush=True)


def _times(elapsed: float, seconds: float) -> str:
    left = max(seconds - elapsed, 0.0)
    return f"{elapsed:.0f} s, {left:.0f} s left" if left else f"{elapsed:.0f} s, ending"
