"""What holds for every test: no network, one thread, Julia before torch, GPU tests on GPUs only."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # Small matrices, and machines that are shared.
os.environ["HF_HUB_OFFLINE"] = "1"
# Searches of a second each spend their time in Julia's compiler, and half of that is optimization.
os.environ.setdefault("PYTHON_JULIACALL_OPTIMIZE", "0")

import pytest
from hypothesis import settings

# The same examples on every machine, and no deadline: machines are shared, and a slow one is no failure.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Start Julia before any test module imports torch: the other order can crash the process."""
    if config.option.markexpr.startswith("julia"):
        from pysr_neural.errors import EngineUnavailableError
        from pysr_neural.interop.julia import boot

        try:
            boot()
        except EngineUnavailableError as error:
            config.stash[NO_JULIA] = str(error)


NO_JULIA = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say once, in full, why Julia's tests were skipped."""
    reason = config.stash.get(NO_JULIA, None)
    if reason is not None:
        terminalreporter.section("Julia tests skipped")
        terminalreporter.write_line(reason)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip GPU tests where there is no GPU, and Julia's where Julia was not started, unless it is required."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting:
        import torch

        if not torch.cuda.is_available():
            for item in wanting:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    started = config.option.markexpr.startswith("julia") and config.stash.get(NO_JULIA, None) is None
    if started or "julia" in os.environ.get("PYSR_NEURAL_REQUIRE", "").split(","):
        return
    for item in items:  # The fixture `julia` starts one by itself; the package's own tests have one.
        by_itself = "julia" in getattr(item, "fixturenames", ()) or item.get_closest_marker("julia_package")
        if item.get_closest_marker("julia") and not by_itself:
            item.add_marker(pytest.mark.skip(reason="needs Julia, before torch: run it with -m julia"))
