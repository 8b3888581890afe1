"""The demo's problems: small real measurements, and one Feynman law with noise.

Owns: `Case` and the cases.  Does not own: the figures behind them (`facts.toml`), searching, showing.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from pysr_neural.problem import OperatorSet
from pysr_neural.rng import generator
from pysr_neural_baseline.fitting.measurements import Measurements

OPERATORS = OperatorSet.of("+", "-", "*", "/", "sqrt", "log", "sin")
"""One operator set for all cases: Julia compiles a search once per set."""
MAX_SIZE = 14
SEED = 1
ROWS = 100
NOISE = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Case(Measurements):
    """One problem of the demo: measurements, and what is known of them.

    Parameters
    ----------
    name, title, known, provenance : str
        Short name; heading; the law as the books have it; where the values come from.
    """

    name: str
    title: str
    known: str
    provenance: str


def cases() -> tuple[Case, ...]:
    """Return all cases, the real ones first."""
    table = tomllib.loads(files(__package__).joinpath("facts.toml").read_text(encoding="utf-8"))
    return (*(_measured(name, entry) for name, entry in table.items()), lorentz())


def _measured(name: str, entry: dict) -> Case:
    columns = entry["rows"]
    return Case(
        name=name,
        title=entry["title"],
        known=entry["known"],
        provenance=entry["provenance"],
        X=np.array([columns[feature] for feature in entry["features"]], dtype=np.float64).T,
        y=np.array(columns[entry["target"]], dtype=np.float64),
        features=tuple(entry["features"]),
        labels=tuple(entry["labels"]),
        target=entry["target"],
        target_label=entry["target_label"],
        logarithmic=tuple(entry.get("logarithmic", ())),
    )


def lorentz() -> Case:
    """Return the Lorentz force, I.12.11 of the Feynman equations, with Gaussian noise."""
    rng = generator(SEED, "demo", "lorentz")
    q, field, b, v = rng.uniform(1.0, 5.0, size=(4, ROWS))
    angle = rng.uniform(0.0, 2 * np.pi, size=ROWS)
    force = q * (field + b * v * np.sin(angle))
    return Case(
        name="lorentz",
        title="Feynman I.12.11: Lorentz force",
        known="F = q · (Ef + B · v · sin(theta))",
        provenance=f"Generated: {ROWS} rows, ranges of the Feynman data base, {NOISE:.0%} noise, seed {SEED}.",
        X=np.stack([q, field, b, v, angle], axis=1),
        y=force + NOISE * force.std() * rng.standard_normal(ROWS),
        features=("q", "Ef", "B", "v", "theta"),
        labels=("charge", "electric field", "magnetic field", "velocity", "angle"),
        target="F",
        target_label="force F",
    )
