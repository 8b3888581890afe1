"""The Julia package's own tests, with a scripted server and no Python, in a Julia of their own."""

import os
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2] / "julia" / "NeuralProposer" / "test"
QUICK = ("wire", "parts", "foresight", "levels", "determinism", "recording", "faults")
SLOW = ("kinds_of_search", "parallel")


def run(julia, names: tuple[str, ...]) -> None:
    executable = str(julia.seval("joinpath(Sys.BINDIR, Base.julia_exename())"))
    project = str(julia.seval("dirname(Base.active_project())"))
    command = [executable, f"--project={project}", "--threads=2", "--startup-file=no", "--optimize=0"]
    ran = subprocess.run(
        [*command, str(TESTS / "runtests.jl"), *names],
        env={**os.environ, "JULIA_NUM_PRECOMPILE_TASKS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


@pytest.mark.julia
@pytest.mark.timeout(1600)
def test_the_julia_package_passes_its_own_tests(julia):
    run(julia, QUICK)


@pytest.mark.julia
@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_the_julia_package_passes_its_long_tests(julia):
    run(julia, SLOW)
