"""Logarithms of predictions, in which exponents are linear coefficients.

Owns: what the logarithm of a value on a tape is, as far as powers and products go.  Does not own: when a fit is made in
logarithms (`refinement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pysr_neural.expression.forms import Form
from pysr_neural.expression.tape import ONE, Tape

LOG_FACTORS: Mapping[str, float] = MappingProxyType(
    {"neg": 1.0, "abs": 1.0, "inv": -1.0, "sqrt": 0.5, "square": 2.0, "cube": 3.0}
)
"""By function: what the logarithm of its value is of that of its argument."""
SOURCES = frozenset({"power", "exp"})
"""Operators of which a parameter may become a coefficient."""


def log_form(tape: Tape, form: Form) -> tuple[Form, list[int]] | None:
    """Return the form of log |prediction|, and the parameters that its coefficients are; None if there are none."""
    if len(form.cores) + (form.fixed != -1) != 1 or not any(name in SOURCES for name, _ in tape.made.values()):
        return None
    fixed, cores, places = logarithm(tape, form.cores[0] if form.cores else form.fixed)
    if not cores:
        return None
    return Form(fixed, [*cores, ONE] if form.cores else cores, [], form.put), places


def logarithm(tape: Tape, slot: int) -> tuple[int, list[int], list[int]]:
    """Return the logarithm of a value's size as ``fixed + Σ parameter · core``, as far as powers and products go.

    Returns
    -------
    fixed : int
        Slot; -1 for none.
    cores, places : list of int
        Slots, and places of parameters, each at most once.
    """
    fixed, cores, places = -1, list[int](), list[int]()
    pending = [(slot, 1.0)]
    while pending:
        slot, factor = pending.pop()
        name, sources = tape.made.get(slot, ("", ()))
        if name == "*":
            pending += [(source, factor) for source in sources]
        elif name in LOG_FACTORS:
            pending.append((sources[0], factor * LOG_FACTORS[name]))
        elif name == "power" and _place(tape, sources[1]) not in places:
            log, parts, _ = logarithm(tape, sources[0])
            if parts:
                log = tape.log_size(sources[0])
            cores.append(tape.scaled(log, factor))
            places.append(_place(tape, sources[1]))
        elif name == "exp" and sources[0] in tape.sums:
            rest, coefficients, factors = tape.sums[sources[0]]
            cores += [tape.scaled(core, factor) for core in factors]
            places += [_place(tape, coefficient) for coefficient in coefficients]
            if rest != -1:
                fixed = _added(tape, fixed, rest, factor)
        else:
            fixed = _added(tape, fixed, tape.log_size(slot), factor)
    return fixed, cores, places


def _added(tape: Tape, total: int, slot: int, factor: float) -> int:
    term = tape.scaled(slot, factor)
    return term if total == -1 else tape.plus(total, term)


def _place(tape: Tape, slot: int) -> int:
    return tape.parameters.index(slot)
