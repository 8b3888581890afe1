"""What the neural help did in one search: `NeuralReport`.

Owns: the figures, their text on one screen, their dict.  Does not own: counting (the Julia package counts).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pysr_neural.interop.suggestions import Suggestion

_COUNTS = ("calls", "served", "fallbacks", "accepted", "improved", "seeded", "injected", "crossovers")
WEIGHTS = "weights:"
MAX_LINES = 8
"""Longest list of reasons or members in the text; the dict has all."""


@dataclass(frozen=True)
class NeuralReport:
    """What the neural help did in one search.

    Parameters
    ----------
    engine, checkpoint : str
    levels : tuple of str
    calls : int
        Requests to the model.
    served : int
        Proposals that were taken: as a mutation step, or judged for PySR's front apart.
    fallbacks : int
        Steps that wanted a proposal and did an ordinary one instead.
    accepted, improved : int
        Proposals accepted, into a population or that front; those with a lower loss than their parent, or than all
        so far.
    seeded, injected, crossovers : int
        Proposals among the initial members; let into the hall of fame, or into a population that stagnated (BasicSR);
        made as crossovers.
    invalid : dict of str to int
        Refused proposals by reason.
    skipped : dict of str to int
        Requests not made, by reason: time budget used up, circuit breaker open.
    neural_hall_of_fame : tuple of str
        Members of the final front that the model proposed, or that descend from a proposal.
    model_seconds, search_seconds : float
        Processor time in the model, time of the whole search.
    spare_core : bool
        Whether the search left a core to the model, so that the model's time cost the engine nothing.
    failures : tuple of str
        What went wrong and was survived, latest last.
    disabled : tuple of str
        Levels that this search or this engine could not use, with the reason.
    notes : tuple of str
        What the search's numbers cannot hold of the data, and what did not reach the proposer.
    suggestions : tuple of Suggestion
        For the next fit, each as code and evidence.
    """

    engine: str = "PySR"
    checkpoint: str = "default"
    levels: tuple[str, ...] = ()
    calls: int = 0
    served: int = 0
    fallbacks: int = 0
    accepted: int = 0
    improved: int = 0
    seeded: int = 0
    injected: int = 0
    crossovers: int = 0
    invalid: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    neural_hall_of_fame: tuple[str, ...] = ()
    model_seconds: float = 0.0
    search_seconds: float = 0.0
    spare_core: bool = False
    failures: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    @classmethod
    def from_engine(
        cls,
        answer: Mapping[str, Any],
        *,
        engine: str,
        checkpoint: str,
        levels: tuple[str, ...],
        fronts: Sequence[Mapping[int, str]] = (),
    ) -> Self:
        """Read the Julia package's answer, already plain; what it lacks stays at its default.

        Parameters
        ----------
        answer : mapping
        engine, checkpoint : str
        levels : tuple of str
        fronts : sequence of mapping of int to str
            Per output, the final front's expression of each complexity; without them, complexities stand for members.
        """
        texts = _texts(answer.get("disabled"))
        counts: dict[str, Any] = {name: int(answer.get(name) or 0) for name in _COUNTS}
        return cls(
            engine=engine,
            checkpoint=checkpoint,
            levels=levels,
            **counts,
            invalid={str(reason): int(count) for reason, count in (answer.get("invalid") or {}).items()},
            skipped={str(reason): int(count) for reason, count in (answer.get("skipped") or {}).items()},
            neural_hall_of_fame=_neural_members(answer, fronts),
            model_seconds=float(answer.get("model_seconds") or 0.0),
            search_seconds=float(answer.get("search_seconds") or 0.0),
            spare_core=bool(answer.get("spare_core")),
            failures=_texts(answer.get("failures")),
            disabled=tuple(text for text in texts if not text.startswith(WEIGHTS)),
            notes=tuple(text for text in texts if text.startswith(WEIGHTS)),
        )

    @property
    def time_share(self) -> float:
        """Share of the search's time spent in the model, 0 where no time was measured."""
        return self.model_seconds / self.search_seconds if self.search_seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain data, ready for JSON."""
        return {**asdict(self), "time_share": self.time_share}

    def __str__(self) -> str:
        lines = [
            f"Neural report: {self.engine}, checkpoint {self.checkpoint}, "
            f"levels {', '.join(self.levels) or 'none (record only)'}",
            f"  requests to the model  {self.calls:>9,}",
            f"  proposals taken        {self.served:>9,}",
            f"  accepted               {self.accepted:>9,}  ({_percent(self.accepted, self.served)} of those taken)",
            f"  with a lower loss      {self.improved:>9,}  ({_percent(self.improved, self.served)})",
            f"  seeds, injections, crossovers: {self.seeded:,}, {self.injected:,}, {self.crossovers:,}",
            f"  ordinary steps instead {self.fallbacks:>9,}",
            f"  refused proposals      {sum(self.invalid.values()):>9,}",
            *_listed(f"{count:,} × {reason}" for reason, count in sorted(self.invalid.items(), key=lambda r: -r[1])),
            *([f"  requests not made      {sum(self.skipped.values()):>9,}"] if self.skipped else []),
            *_listed(f"{count:,} × {reason}" for reason, count in self.skipped.items()),
            f"  time in the model      {self.model_seconds:>9.2f} s of {self.search_seconds:.2f} s "
            f"({100 * self.time_share:.1f} %){', on a core that the search left idle' if self.spare_core else ''}",
            f"  hall of fame: {len(self.neural_hall_of_fame)} member(s) of neural descent",
            *_listed(self.neural_hall_of_fame),
        ]
        if self.disabled:
            lines += ["  switched off:", *_listed(self.disabled)]
        if self.notes:
            lines += ["  to be noted:", *_listed(self.notes)]
        if self.suggestions:
            lines += ["  for the next fit:", *_listed(self.suggestions)]
        if self.failures:
            lines += [f"  survived failures: {len(self.failures)}, the latest:", *_listed(self.failures[-3:])]
        return "\n".join(lines)


def _neural_members(answer: Mapping[str, Any], fronts: Sequence[Mapping[int, str]]) -> tuple[str, ...]:
    """Name the hall of fame's neural members: the engine flags complexities, the fronts hold their expressions."""
    flagged = [
        [complexity for complexity, neural in zip(complexities, flags, strict=True) if neural]
        for complexities, flags in zip(
            answer.get("hall_of_fame_complexities") or (), answer.get("hall_of_fame_neural") or (), strict=True
        )
    ]
    if not fronts:
        return tuple(f"complexity {complexity}" for members in flagged for complexity in members)
    return tuple(
        front[complexity]
        for front, members in zip(fronts, flagged, strict=False)
        for complexity in members
        if complexity in front
    )


def _texts(value: Any) -> tuple[str, ...]:
    """Read a list of texts, or a mapping of name to reason, from a loosely typed answer."""
    if isinstance(value, Mapping):
        return tuple(f"{name}: {reason}" for name, reason in value.items())
    if value is None or isinstance(value, int | float):
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _listed(items: Any) -> list[str]:
    texts = [f"    {text}" for text in items]
    rest = len(texts) - MAX_LINES
    return texts if rest <= 0 else [*texts[:MAX_LINES], f"    … and {rest} more"]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
