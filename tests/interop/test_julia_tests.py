"""The Julia package's own tests, with a scripted server and no Python, in a Julia of their own."""

import os
import subprocess
from pathlib import Path

import pytest

from pysr_neural.interop.julia import julia_available
from tests.interop.conftest import go_on_without_julia, why_no_julia_elsewhere

pytestmark = [pytest.mark.julia, pytest.mark.julia_package, pytest.mark.timeout(1600)]
TESTS = Path(__file__).parents[2] / "julia" / "NeuralProposer" / "test"
QUICK = ("wire", "parts", "foresight", "levels", "determinism", "recording", "faults")
SLOW = ("kinds_of_search", "parallel")


def executable_and_project() -> tuple[str, str]:
    """Return the Julia and the project that juliacall takes, without starting it in this process."""
    if not julia_available():
        go_on_without_julia("no Julia on this machine")
    given = [os.environ.get(f"PYTHON_JULIACALL_{name}") for name in ("EXE", "PROJECT")]
    if all(given):
        return tuple(given)
    reason = why_no_julia_elsewhere()  # Which installs what is missing.
    if reason is not None:
        go_on_without_julia(reason)
    import juliapkg

    return juliapkg.executable(), juliapkg.project()


def run(names: tuple[str, ...]) -> None:
    executable, project = executable_and_project()
    command = [executable, f"--project={project}", "--threads=2", "--startup-file=no", "--optimize=0"]
    ran = subprocess.run(
        [*command, str(TESTS / "runtests.jl"), *names],
        env={**os.environ, "JULIA_NUM_PRECOMPILE_TASKS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    if ran.returncode != 0 and (reason := why_no_julia_elsewhere()) is not None:
        go_on_without_julia(reason)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_the_julia_package_passes_its_own_tests():
    run(QUICK)


@pytest.mark.slow
def test_the_julia_package_passes_its_long_tests():
    run(SLOW)
