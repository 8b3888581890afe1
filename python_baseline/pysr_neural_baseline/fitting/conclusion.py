"""What becomes of what a search found: judged, written down, told; what a further command needs first.

Owns: `Task`, the order of these steps, what Ctrl-C leaves out of them, the JSON object.  Does not own: each step
(`outcome`, `uncertainty`, `state`, `page`, `words`), what comes before (`command`).
"""

import argparse
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pysr_neural.cli import INTERRUPTED
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import to_string
from pysr_neural_baseline.fitting.engines import Engine, Found, Settings
from pysr_neural_baseline.fitting.judging import Judgement
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, Outcome, polished, weighed
from pysr_neural_baseline.fitting.state import State, begun_with, merged, replace_text
from pysr_neural_baseline.fitting.uncertainty import Verdict, scores_alone, verdict
from pysr_neural_baseline.fitting.words import front_in_words, leftover_in_words, verdict_in_words

UNWRITTEN = 1
Say = Callable[[str], None]
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that is settled before a search begins.

    Parameters
    ----------
    arguments : argparse.Namespace
    say : callable
    judgement : Judgement
    seen, held_out : Measurements
    engine : Engine
    settings : Settings
    earlier : State or None
    """

    arguments: argparse.Namespace
    say: Say
    judgement: Judgement
    seen: Measurements
    held_out: Measurements | None
    engine: Engine
    settings: Settings
    earlier: State | None


class Hurry:
    """Whether Ctrl-C came after the search: what takes time is then left out.

    Parameters
    ----------
    on : bool
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def either(self, whole: Callable[[], Made], quick: Callable[[], Made]) -> Made:
        """Do the one, or, in a hurry, the other; Ctrl-C in the one leads to the other."""
        if not self.on:
            try:
                return whole()
            except KeyboardInterrupt:
                self.on = True
        return quick()


def concluded(task: Task, found: Found, seconds: float, command: list[str], hurry: Hurry) -> int:
    """Judge what was found, and write it down, what a further command needs first; returns the exit status."""
    known = task, found, seconds
    outcome = hurry.either(partial(_outcome, *known, polished), partial(_outcome, *known, weighed))
    unwritten = [_surely(task, hurry, partial(_write_state, task, outcome))]
    law = outcome.law.tree, task.seen, task.held_out
    judged_by = hurry.either(partial(verdict, *law), partial(scores_alone, *law))
    ended = found.interrupted or hurry.on
    unwritten.append(_surely(task, hurry, partial(_show, task, outcome, judged_by, ended, hurry.on)))
    unwritten.append(_surely(task, hurry, partial(_write_page, task, outcome, judged_by, ended, command)))
    if task.arguments.json:
        print(json.dumps(as_json(task, outcome, judged_by), ensure_ascii=False), flush=True)
    return INTERRUPTED if ended or hurry.on else max(unwritten)


def _surely(task: Task, hurry: Hurry, write: Callable[[], None]) -> int:
    """Write something, once more if Ctrl-C came in between; returns the exit status that is due to it."""
    try:
        hurry.either(write, write)
    except OSError as error:
        task.say(f"This could not be written: {error}")
        return UNWRITTEN
    return 0


def _outcome(
    task: Task, found: Found, seconds: float, front: Callable[[Sequence[Member], Measurements], tuple[Member, ...]]
) -> Outcome:
    """Join what was found now and before."""
    members, report = found.members, found.report
    if task.earlier is not None:
        known = task.earlier.usable(task.settings.operators, task.settings.max_size)
        members = merged(members, known, task.seen)
        report = f"{begun_with(known, task.seen.features)}\n{report}"
    return Outcome(task.seen, front(members, task.seen), report, seconds)


def _write_state(task: Task, outcome: Outcome) -> None:
    folder = task.arguments.state
    if folder is not None:
        before = 0.0 if task.earlier is None else task.earlier.seconds
        State.of(task.judgement.data, outcome.front, before + outcome.seconds).write(folder)
        task.say(f"State: {folder}; the same command goes on from here.")


def _show(task: Task, outcome: Outcome, judged_by: Verdict, ended: bool, hurried: bool) -> None:
    lines = ["", *(["Interrupted; this is what was found so far.", ""] if ended else []), front_in_words(outcome), ""]
    lines += [f"  {outcome.data.target} = {outcome.shown(outcome.law)}", verdict_in_words(judged_by)]
    lines.append(f"  {leftover_in_words(outcome)}")
    if hurried:
        lines.append("  Intervals, and the errors of constants, are left out: they were interrupted.")
    if ended and task.arguments.state is None:
        lines.append("  The same command begins anew; with --state FOLDER, a further one goes on from its end.")
    task.say("\n".join([*lines, ""]))


def _write_page(task: Task, outcome: Outcome, judged_by: Verdict, ended: bool, command: list[str]) -> None:
    from pysr_neural_baseline.fitting.page import Story, page

    out, folder = task.arguments.out, task.arguments.state
    if out is None:
        task.say("Pictures, LaTeX, NumPy and SymPy: --out page.html.")
        return
    story = Story(
        source=task.arguments.file.name,
        engine=task.engine.sentence,
        verdict=judged_by,
        held_out=task.held_out,
        notes=task.judgement.notes,
        command=shlex.join(command),
        continued="" if folder is None else str(folder),
        interrupted=ended,
    )
    replace_text(out, page(outcome, story))
    task.say(f"Page: {out}.")


def as_json(task: Task, outcome: Outcome, judged_by: Verdict) -> dict[str, Any]:
    """Return the result as plain data, what is not finite as None."""
    scale = float(outcome.data.y.var())
    return {
        "equation": _equation(outcome, outcome.law),
        "complexity": outcome.law.complexity,
        "loss": _finite(outcome.law.loss * scale),
        "r2": _finite(judged_by.seen.r2),
        "held_out_r2": None if judged_by.held_out is None else _finite(judged_by.held_out.r2),
        "engine": task.engine.name,
        "seconds": round(outcome.seconds, 3),
        "front": [
            {
                "equation": _equation(outcome, member),
                "complexity": member.complexity,
                "loss": _finite(member.loss * scale),
                "neural": member.neural,
            }
            for member in outcome.front
        ],
    }


def _equation(outcome: Outcome, member: Member) -> str:
    return to_string(simplify(member.tree), outcome.data.features)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
