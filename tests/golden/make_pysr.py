"""Write `pysr_search.frames`, what our plugin recorded of one small search of PySR, for tests without Julia.

Needs Julia.  Run it after a deliberate change of what is recorded only: ``python -m tests.golden.make_pysr``.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pysr_neural import NeuralProposer
from pysr_neural.interop.plugin import NeuralProposerPlugin

GOLDEN = Path(__file__).parent / "pysr_search.frames"
SETTINGS = {
    "binary_operators": ["+", "-", "*", "/"],
    "unary_operators": ["exp", "cos"],
    "niterations": 2,
    "populations": 2,
    "population_size": 16,
    "tournament_selection_n": 6,
    "ncycles_per_iteration": 25,
    "maxsize": 20,
    "random_state": 0,
    "deterministic": True,
    "parallelism": "serial",
    "progress": False,
    "verbosity": 0,
    "temp_equation_file": True,
}


def main() -> None:
    """Search, and keep the recording as it is."""
    import pysr

    X = np.random.default_rng(0).uniform(0.5, 3.0, (20, 2))
    with TemporaryDirectory() as folder:
        plugin = NeuralProposerPlugin(NeuralProposer(levels=(), trace=folder, trace_rate=1.0))
        pysr.PySRRegressor(**SETTINGS, plugins=[plugin]).fit(X, np.exp(X[:, 0]) / X[:, 1] + 1.7 * X[:, 0])
        (recorded,) = Path(folder).glob("*.frames")
        GOLDEN.write_bytes(recorded.read_bytes())


if __name__ == "__main__":
    main()
