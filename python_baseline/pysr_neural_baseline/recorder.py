"""The recorder: an observer that turns a search into the tables of a trace.

Owns: `Recorder`, `record_search`.  Does not own: the tables' meaning (`pysr_neural.trace.schema`), files
(`pysr_neural.trace.io`), the search.

While the search runs, an event is one packed record, which the garbage collector need not visit; every so often the
records become columns in one go.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysr_neural import __version__
from pysr_neural.errors import ConfigError
from pysr_neural.expression.edits import NOTHING
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.trace.io import arrays
from pysr_neural.trace.schema import DEATH, HALL_OF_FAME, PROPOSAL, Names, make_table
from pysr_neural.trace.trees import NO_TREE, TreeColumns
from pysr_neural.wire.codes import encode_planted
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import Objective
from pysr_neural_baseline.observer import Proposal
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import SearchResult, run_search

if TYPE_CHECKING:
    import pyarrow as pa

POPULATION_RATE = 0.1
ROWS_AT_A_TIME = 1 << 16
"""Events that wait before they become columns: enough for speed, few enough for memory."""
_NAN = math.nan
_EVENT = np.dtype(
    [
        *[(name, "<i8") for name in ("parent", "parent2", "ref")],
        *[(name, "<f8") for name in ("before_loss", "before_cost", "after_loss", "after_cost")],
        *[(name, "<i4") for name in ("iteration", "cycle", "tree", "planted")],
        *[(name, "<i2") for name in ("population", "event", "kind", "reason", "node", "place")],
        *[(name, "?") for name in ("neural", "action")],
    ]
)
_MEMBER = np.dtype(
    [
        *[(name, "<i8") for name in ("ref", "parent", "birth")],
        *[(name, "<f8") for name in ("loss", "cost")],
        *[(name, "<i4") for name in ("iteration", "slot", "tree")],
        ("population", "<i2"),
        ("neural", "?"),
    ]
)
_pack_event = Struct("<3q4d4i6h2?").pack
_pack_member = Struct("<3q2d3ih?").pack


class _Ids(dict[str, int]):
    """Numbers names in the order in which they first occur."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number


class Recorder:
    """Writes one search down; see `SearchObserver` for the calls.

    Parameters
    ----------
    problem : Problem
    run, problem_number : int
        What the run and its problem are called in the trace.
    population_rate : float
        Share of iterations whose populations are recorded, evenly spaced, and always the first and the last.  The
        others follow from the events.
    deaths : bool
        Whether deaths are recorded; not where every member leaves at the end of a generation.

    Raises
    ------
    ConfigError
        If the rate does not lie in 0..1.
    """

    def __init__(
        self,
        problem: Problem,
        run: int = 0,
        problem_number: int = 0,
        population_rate: float = POPULATION_RATE,
        deaths: bool = True,
    ) -> None:
        if not 0 <= population_rate <= 1:
            raise ConfigError(f"population_rate is a share, from 0 to 1; got {population_rate}.")
        self.problem, self.run, self.problem_number = problem, run, problem_number
        self.population_rate, self.deaths = population_rate, deaths
        self._event_rows: list[bytes] = []
        self._member_rows: list[bytes] = []
        self._trees, self._planted = self._new_trees()
        self._events, self._kinds, self._reasons = _Ids(), _Ids(), _Ids()
        self._proposal, self._death = self._events[PROPOSAL], self._events[DEATH]
        self._nothing = (self._kinds[""], self._reasons[""], NOTHING.node, NOTHING.place)
        self._unrecorded: dict[int, tuple[int, tuple[Member, ...]]] = {}
        self._iterations: dict[int, int] = {}
        self._done: dict[str, list[pa.Table]] = {"events": [], "members": []}

    def population(self, population: int, iteration: int, members: Sequence[Member]) -> None:
        """Take a population as it stands."""
        self._iterations[population] = iteration
        if iteration == 0 or int(iteration * self.population_rate) > int((iteration - 1) * self.population_rate):
            self._stand(population, iteration, members)
            self._unrecorded.pop(population, None)
        else:
            self._unrecorded[population] = (iteration, tuple(members))

    def proposal(self, told: Proposal) -> None:
        """Take one proposal, accepted or not."""
        population, iteration, cycle, kind, parents, child, child_ref, before, after, reason, neural, edit = told
        first = parents[0] if parents else -1
        second = parents[1] if len(parents) > 1 else -1
        tree, kind_id, reason_id = self._trees.index(child), self._kinds[kind], self._reasons[reason]
        event = self._proposal
        node, place, planted = edit or NOTHING
        self._event_rows.append(
            _pack_event(
                first,
                second,
                child_ref,
                *before,
                *after,
                iteration,
                cycle,
                tree,
                NO_TREE if planted is None else self._planted.index(planted),
                population,
                event,
                kind_id,
                reason_id,
                node,
                place,
                neural,
                edit is not None,
            )
        )
        if len(self._event_rows) >= ROWS_AT_A_TIME:
            self._settle()

    def relink(self, population: int, iteration: int, event: str, old_ref: int, member: Member) -> None:
        """Take a member that replaces another without a proposal."""
        where = (iteration, -1, self._trees.index(member.tree), NO_TREE, population, self._events[event])
        parent = member.parents[0] if member.parents else old_ref
        known = (parent, -1 if parent == old_ref else old_ref, member.ref, _NAN, _NAN, member.loss, member.cost)
        self._event_rows.append(_pack_event(*known, *where, *self._nothing, member.neural, False))

    def death(self, population: int, iteration: int, cycle: int, ref: int) -> None:
        """Take the ref of a member that left its population to make room for a child."""
        if self.deaths:
            where = (iteration, cycle, NO_TREE, NO_TREE, population, self._death)
            known = (-1, -1, ref, _NAN, _NAN, _NAN, _NAN)
            self._event_rows.append(_pack_event(*known, *where, *self._nothing, False, False))

    def finish(
        self, result: SearchResult, config: BasicSRConfig, seed: int, proposer: str = ""
    ) -> "dict[str, pa.Table]":
        """End the record.

        Parameters
        ----------
        result : SearchResult
        config : BasicSRConfig
        seed : int
        proposer : str
            What the injected proposer is called; empty for none.

        Returns
        -------
        dict of str to pyarrow.Table
            The tables ``runs``, ``members`` and ``events``.
        """
        import pyarrow as pa

        for population, (iteration, members) in sorted(self._unrecorded.items()):
            self._stand(population, iteration, members)
        self._stand(HALL_OF_FAME, max(self._iterations.values(), default=0), result.hall_of_fame.front())
        self._settle()
        tables = {name: pa.concat_tables(parts).unify_dictionaries() for name, parts in self._done.items()}
        if len(self._events) > len((PROPOSAL, DEATH)):
            tables["events"] = _with_known_before(tables["events"], tables["members"])
        return {"runs": self._run_row(result, config, seed, proposer), **tables}

    def _stand(self, population: int, iteration: int, members: Iterable[Member]) -> None:
        index = self._trees.index
        for slot, member in enumerate(members):
            parent = member.parents[0] if member.parents else -1
            own = (member.ref, parent, member.birth, member.loss, member.cost)
            where = (iteration, slot, index(member.tree), population)
            self._member_rows.append(_pack_member(*own, *where, member.neural))

    def _new_trees(self) -> tuple[TreeColumns, TreeColumns]:
        language = (self.problem.operators, self.problem.X.shape[1])
        return TreeColumns(*language), TreeColumns(*language, encode_planted)

    def _settle(self) -> None:
        """Turn what waits into columns."""
        events = np.frombuffer(b"".join(self._event_rows), dtype=_EVENT)
        names = {"event": self._events, "kind": self._kinds, "reason": self._reasons}
        named = {column: Names(events[column], tuple(ids)) for column, ids in names.items()}
        accepted = (events["ref"] >= 0) & (events["event"] != self._death)
        planted, values, _ = self._planted.columns(events["planted"])
        known = {**named, "accepted": accepted, "planted": planted, "planted_constants": values}
        self._done["events"].append(self._table("events", events, known))
        members = np.frombuffer(b"".join(self._member_rows), dtype=_MEMBER)
        self._done["members"].append(self._table("members", members, {}))
        self._event_rows, self._member_rows = [], []
        self._trees, self._planted = self._new_trees()

    def _table(self, name: str, rows: npt.NDArray[np.void], others: dict[str, Any]) -> "pa.Table":
        codes, constants, sizes = self._trees.columns(rows["tree"])
        trees = {"codes": codes, "constants": constants, "complexity": sizes}
        plain = {field: rows[field].copy() for field in rows.dtype.names or () if field not in ("tree", *others)}
        return make_table(name, {"run": np.full(len(rows), self.run), **plain, **trees, **others})

    def _run_row(self, result: SearchResult, config: BasicSRConfig, seed: int, proposer: str) -> "pa.Table":
        row = {
            "run": self.run,
            "problem": self.problem_number,
            "engine": "basic",
            "version": __version__,
            "proposer": proposer,
            "seed": seed,
            "config": json.dumps(asdict(config), sort_keys=True),
            "population_rate": self.population_rate,
            "populations": len(self._iterations),
            "iterations": max(self._iterations.values(), default=0),
            "evaluations": result.evaluations,
            "stopped_by": result.stopped_by,
            "solved": Objective(self.problem, config).is_solved(result.hall_of_fame.lowest_loss),
            "best": result.best.ref,
            "best_loss": result.best.loss,
            "best_cost": result.best.cost,
            "lowest_loss": result.hall_of_fame.lowest_loss,
        }
        return make_table("runs", {name: [value] for name, value in row.items()})


@dataclass(frozen=True)
class Recorded:
    """A search's result and its trace: the tables ``runs``, ``members`` and ``events``."""

    result: SearchResult
    tables: "dict[str, pa.Table]"


def record_search(
    problem: Problem,
    config: BasicSRConfig | None = None,
    proposer: Proposer | None = None,
    seed: int = 0,
    *,
    run: int = 0,
    problem_number: int = 0,
    population_rate: float = POPULATION_RATE,
    proposer_name: str = "",
) -> Recorded:
    """Search as `run_search` does, and record it.

    Parameters
    ----------
    problem, config, proposer, seed
        See `run_search`.
    run, problem_number, population_rate
        See `Recorder`.
    proposer_name : str
        What the trace calls the proposer.
    """
    settings = config or BasicSRConfig()
    recorder = Recorder(problem, run, problem_number, population_rate, settings.replacement != "generational")
    result = run_search(problem, settings, proposer, seed, observer=recorder)
    return Recorded(result, recorder.finish(result, settings, seed, proposer_name))


def _with_known_before(events: "pa.Table", members: "pa.Table") -> "pa.Table":
    """Fill in, for members that replaced others without a proposal, the loss and cost that the others had."""
    names = ("event", "parent", "ref", "before_loss", "before_cost", "after_loss", "after_cost")
    columns, standing = arrays(events.select(names)), arrays(members.select(["population", "ref", "loss", "cost"]))
    event = columns["event"]
    known = [event.names.index(name) for name in (PROPOSAL, DEATH)]
    relinked = np.flatnonzero(~np.isin(event.ids, known))
    made = np.flatnonzero((columns["ref"] >= 0) & (event.ids != event.names.index(DEATH)))
    alive = standing["population"] != HALL_OF_FAME
    refs = np.concatenate([standing["ref"][alive], columns["ref"][made]])
    order = np.argsort(refs, kind="stable")
    wanted = columns["parent"][relinked]
    found = order[np.searchsorted(refs, wanted, sorter=order).clip(max=len(refs) - 1)]
    for name in ("loss", "cost"):
        values = np.concatenate([standing[name][alive], columns[f"after_{name}"][made]])
        before = columns[f"before_{name}"].copy()
        before[relinked] = np.where(refs[found] == wanted, values[found], np.nan)
        position = events.schema.get_field_index(f"before_{name}")
        events = events.set_column(position, events.schema.field(position), [before])
    return events
