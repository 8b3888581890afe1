"""Importing the package is quick and pulls nothing heavy in."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "pysr", "juliacall", "sympy", "scipy", "pandas", "sklearn", "matplotlib", "numpy"}
CHECK = "import sys, time; t = time.process_time(); import {}; print(time.process_time() - t, *({} & set(sys.modules)))"


def imported(module):
    code = CHECK.format(module, HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *heavy = done.stdout.split()
    return float(seconds), set(heavy)


@pytest.mark.parametrize("module", ["pysr_neural", "pysr_neural.config", "pysr_neural.cli", "pysr_neural.wire.frames"])
def test_nothing_heavy_is_imported(module):
    assert imported(module)[1] <= ({"numpy"} if "." in module else set())


def test_the_import_takes_less_than_a_third_of_a_second():
    assert min(imported("pysr_neural")[0] for _ in range(3)) < 0.3


def test_torch_is_imported_no_earlier_than_the_proposer_needs_it():
    assert "torch" not in imported("pysr_neural.proposer.base")[1]
    assert "torch" not in imported("pysr_neural.interop.julia")[1]
