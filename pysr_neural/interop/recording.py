"""From what the Julia plugin recorded to a trace: TRACE frames become tables.

Owns: reading the plugin's files, naming what happened, writing a part per fit.  Does not own: the schema and the files
of a trace (`pysr_neural.trace`), what is recorded (the Julia package's `Recording.jl`), inferring actions (`actions`).

A search leaves a file per process: the OPEN frame, then a frame per population and iteration.  A killed process leaves
a file that ends anywhere; what is whole is read.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import WireError
from pysr_neural.interop.actions import Actions
from pysr_neural.interop.messages import problem_of
from pysr_neural.rng import generator
from pysr_neural.state import KINDS
from pysr_neural.trace.io import Trace, encode_table, problem_columns, write_part
from pysr_neural.trace.schema import (
    ACTION_COLUMNS,
    DEATH,
    HALL_OF_FAME,
    MIGRATION,
    PROPOSAL,
    SIMPLIFY,
    TABLES,
    TUNING,
    make_table,
)
from pysr_neural.wire.frames import MAX_PAYLOAD, Frame, MessageType, read_header, read_payload, unpack

SUFFIX = ".frames"
FIRST_CYCLE, LAST_CYCLE, AS_PARENT = range(3)
REASONS = ("", "acceptance", "constraints")
"""By outcome; the engine does not tell the hook a child that broke the constraints from one whose loss is NaN."""
ROOTLESS = -1

Columns = dict[str, list[Any]]


def import_recordings(folder: Path, facts: Mapping[str, Any], searches: Collection[int] | None = None) -> list[int]:
    """Turn recordings in a folder into parts of the trace in the same folder, and delete them.

    Parameters
    ----------
    folder : Path
    facts : mapping
        Columns of the table ``runs`` that the recordings do not tell: version, proposer, seed, config, population_rate.
    searches : collection of int, optional
        Ids of the searches wanted, all by default: another process may be writing its own to the same folder.

    Returns
    -------
    list of int
        Numbers of the new runs, one per search.

    Raises
    ------
    TraceError
        If the trace cannot be written.  The recordings stay.
    """
    paths: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob(f"*-*{SUFFIX}")):
        paths[int(path.name.split("-")[0], 16)].append(path)
    runs = []
    for search in paths if searches is None else searches:
        frames = [frame for path in paths[search] for frame in read_frames(path)]
        if frames:
            runs.append(_write_run(folder, frames, facts))
        for path in paths[search]:
            path.unlink()
    return runs


def read_frames(path: Path) -> Iterator[Frame]:
    """Read a recording's frames, up to where a killed process may have left it."""
    with path.open("rb") as file:
        try:
            while (header := read_header(file, MAX_PAYLOAD)) is not None:
                yield unpack(header.type, header.request, read_payload(file, header))
        except WireError:  # The process was killed while it wrote this frame.
            return


def _write_run(folder: Path, frames: Sequence[Frame], facts: Mapping[str, Any]) -> int:
    number = _next_number(folder)
    opening = next(frame for frame in frames if frame.type is MessageType.OPEN)
    problem = replace(problem_of(opening), name=f"search-{number}")
    records = [frame for frame in frames if frame.type is MessageType.TRACE]
    members, events = _Members(number), _Events(number)
    actions = Actions(problem, generator(number, "actions"))
    populations: dict[int, list[Frame]] = defaultdict(list)
    for record in records:
        populations[int(record.scalar("population"))].append(record)
    for population, history in sorted(populations.items()):
        number_from_0 = population - 1 if population > 0 else HALL_OF_FAME
        _Population(number_from_0, members, events, actions).take(
            sorted(history, key=lambda f: int(f.scalar("iteration")))
        )
    row = {**_summary(members.columns, populations), **facts, "run": number, "problem": number, "engine": "pysr"}
    row["config"] = json.dumps(_with_text_keys(row["config"]), default=repr, sort_keys=True)
    tables = {
        "problems": problem_columns(number, problem),
        "members": members.columns,
        "events": events.columns,
        "runs": {name: [row[name]] for name in TABLES["runs"].names},
    }
    write_part(folder, number, {name: encode_table(make_table(name, columns)) for name, columns in tables.items()})
    return number


def _with_text_keys(value: Any) -> Any:
    """Make a parameter fit for JSON, such as PySR's mappings from SymPy functions."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(each) for key, each in value.items()}
    return [_with_text_keys(each) for each in value] if isinstance(value, list | tuple) else value


def _next_number(folder: Path) -> int:
    return max(Trace(folder).parts, default=-1) + 1 if (folder / "runs").is_dir() else 0


def _summary(members: Columns, populations: Mapping[int, Sequence[Frame]]) -> dict[str, Any]:
    """Describe the search by its hall of fame, or by all members if it was killed before it had one."""
    population = np.array(members["population"], dtype=np.int64)
    chosen = np.flatnonzero(population == HALL_OF_FAME) if HALL_OF_FAME in population else np.arange(len(population))
    costs, losses = (np.array(members[name], dtype=float)[chosen] for name in ("cost", "loss"))
    finished = HALL_OF_FAME in populations
    best = int(chosen[np.argmin(costs)]) if len(chosen) else None
    return {
        "populations": sum(number != HALL_OF_FAME for number in populations),
        "iterations": max(
            (int(f.scalar("iteration")) + 1 for history in populations.values() for f in history), default=0
        ),
        "evaluations": -1,
        "stopped_by": "" if finished else "killed",
        "solved": False,
        "best": ROOTLESS if best is None else members["ref"][best],
        "best_loss": float("nan") if best is None else members["loss"][best],
        "best_cost": float("nan") if best is None else members["cost"][best],
        "lowest_loss": float(losses.min()) if len(losses) else float("nan"),
    }


class _Rows:
    """Columns of one table that grow by rows."""

    table: str

    def __init__(self, run: int) -> None:
        self.run = run
        self.columns: Columns = {name: [] for name in TABLES[self.table].names}

    def add(self, **values: Any) -> None:
        """Append a row."""
        for name, column in self.columns.items():
            column.append(self.run if name == "run" else values[name])


class _Members(_Rows):
    table = "members"


class _Events(_Rows):
    table = "events"

    def add(self, **values: Any) -> None:
        """Append a row; what is not given is unknown."""
        unknown = {
            "cycle": -1,
            "kind": "",
            "parent": ROOTLESS,
            "parent2": ROOTLESS,
            "codes": None,
            "constants": None,
            "complexity": -1,
            "before_loss": float("nan"),
            "before_cost": float("nan"),
            "after_loss": float("nan"),
            "after_cost": float("nan"),
            "accepted": True,
            "reason": "",
            "neural": False,
            **ACTION_COLUMNS,
        }
        super().add(**{**unknown, **values})


class _Population:
    """One population's history, from frames to rows."""

    def __init__(self, number: int, members: _Members, events: _Events, actions: Actions) -> None:
        self.number, self.members, self.events, self.actions = number, members, events, actions
        self.before: dict[int, tuple[float, float, tuple[int, ...]]] = {}
        self.neural: set[int] = set()

    def take(self, history: Sequence[Frame]) -> None:
        """Add all rows of this population."""
        for record in history:
            iteration = int(record.scalar("iteration"))
            seen = list(_members_of(record))
            if self.number != HALL_OF_FAME:
                self.actions.forget()
                for member in seen:
                    self.actions.meet(member["ref"], member["codes"], member["constants"])
                self._relink(iteration, [m for m in seen if m["moment"] == FIRST_CYCLE], record)
                self._proposals(iteration, record)
            slots = dict.fromkeys((FIRST_CYCLE, LAST_CYCLE, AS_PARENT), 0)
            for member in seen:
                moment = member.pop("moment")
                slot = slots[moment] if moment != AS_PARENT else -1
                slots[moment] += 1
                done = max(iteration + (moment == LAST_CYCLE), 0)
                neural = member["ref"] in self.neural
                self.members.add(
                    population=self.number,
                    iteration=done,
                    slot=slot,
                    neural=neural,
                    complexity=len(member["codes"]),
                    **member,
                )
                if moment == LAST_CYCLE:
                    self.before[member["ref"]] = (member["loss"], member["cost"], tuple(member["codes"]))

    def _relink(self, iteration: int, members: Sequence[Mapping[str, Any]], record: Frame) -> None:
        """Tell how members came from those before simplification, tuning and migration, which rename all."""
        children = set(record.fields["event_refs"].tolist())
        old, self.before = self.before, {}
        for member in members if iteration else ():
            if member["ref"] in children:
                continue
            known = old.get(member["parent"])
            event = MIGRATION if known is None else TUNING if known[2] == tuple(member["codes"]) else SIMPLIFY
            loss, cost = known[:2] if known else (float("nan"), float("nan"))
            if member["parent"] in self.neural:
                self.neural.add(member["ref"])
            self.events.add(
                event=event,
                population=self.number,
                iteration=iteration,
                parent=member["parent"],
                ref=member["ref"],
                codes=member["codes"],
                constants=member["constants"],
                complexity=len(member["codes"]),
                before_loss=loss,
                before_cost=cost,
                after_loss=member["loss"],
                after_cost=member["cost"],
                neural=member["ref"] in self.neural,
            )

    def _proposals(self, iteration: int, record: Frame) -> None:
        """Add proposals and deaths in the order of their cycles."""
        f = record.fields
        trees = list(_trees(f["event_lengths"], f["event_codes"], f["event_constants"]))
        parents, losses, costs = (
            f[name].reshape(-1, 2).tolist() for name in ("event_parents", "event_losses", "event_costs")
        )
        rows = zip(
            f["event_cycles"].tolist(), f["event_kinds"].tolist(), parents, f["event_refs"].tolist(), losses, costs,
            f["event_outcomes"].tolist(), f["event_neural"].tolist(), trees, strict=True,
        )  # fmt: skip
        for ref, child in zip(f["event_refs"].tolist(), trees, strict=True):
            self.actions.meet(ref, *child)
        deaths = list(zip(f["death_cycles"].tolist(), f["death_refs"].tolist(), strict=True))
        at = 0
        for cycle, kind, parent, ref, loss, cost, outcome, neural, (codes, constants) in rows:
            while at < len(deaths) and deaths[at][0] < cycle:
                self._death(iteration, *deaths[at])
                at += 1
            if neural or not self.neural.isdisjoint(parent):
                self.neural.add(ref)
            kind_name = KINDS[kind] if kind >= 0 else ""
            self.events.add(
                event=PROPOSAL,
                population=self.number,
                iteration=iteration,
                cycle=cycle - 1,
                kind=kind_name,
                parent=parent[0],
                parent2=parent[1],
                ref=ref,
                codes=codes or None,
                constants=constants if codes else None,
                complexity=len(codes) or -1,
                before_loss=loss[0],
                after_loss=loss[1],
                before_cost=cost[0],
                after_cost=cost[1],
                accepted=outcome == 0,
                reason=REASONS[outcome],
                neural=bool(neural),
                **self.actions.columns(kind_name, parent, (codes, constants)),
            )
        for death in deaths[at:]:
            self._death(iteration, *death)
        self.neural.discard(ROOTLESS)

    def _death(self, iteration: int, cycle: int, ref: int) -> None:
        self.events.add(event=DEATH, population=self.number, iteration=iteration, cycle=cycle - 1, ref=ref)


def _members_of(record: Frame) -> Iterator[dict[str, Any]]:
    f = record.fields
    names = ("moments", "refs", "parents", "births", "losses", "costs")
    trees = _trees(f["member_lengths"], f["member_codes"], f["member_constants"])
    for values, (codes, constants) in zip(
        zip(*(f[f"member_{n}"].tolist() for n in names), strict=True), trees, strict=True
    ):
        moment, ref, parent, birth, loss, cost = values
        yield {
            "moment": moment,
            "ref": ref,
            "parent": parent,
            "birth": birth,
            "loss": loss,
            "cost": cost,
            "codes": codes,
            "constants": constants,
        }


def _trees(
    lengths: npt.NDArray[Any], codes: npt.NDArray[Any], constants: npt.NDArray[Any]
) -> Iterator[tuple[list[int], list[float]]]:
    """Cut the wire's flat arrays into trees; a tree that is not known is empty."""
    flat, numbers, at, number_at = codes.tolist(), constants.tolist(), 0, 0
    for length in lengths.tolist():
        own = flat[at : at + length]
        count = own.count(0)
        yield own, numbers[number_at : number_at + count]
        at, number_at = at + length, number_at + count
