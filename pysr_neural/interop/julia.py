"""The one file that boots Julia.

Owns: the order of imports (PySR first, which sets Julia up), finding and loading the Julia package, turning Julia's
answers into plain Python, saying why Julia is missing and how to get it.  Does not own: the plugin's parameters
(`plugin`).

The Julia package lies in the wheel as ``pysr_neural/_julia/NeuralProposer`` and in a checkout as
``julia/NeuralProposer``.  Its parent folder goes to the end of Julia's ``LOAD_PATH``: that works offline, needs no
change of the user's Julia project, is precompiled like any package, and local worker processes inherit it.  (A
``juliapkg.json`` would need a network, and one path for wheel and checkout.)
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from pysr_neural.errors import EngineUnavailableError

PACKAGE = "NeuralProposer"
LOAD_PATH = "JULIA_LOAD_PATH"
HOW_TO_GET_JULIA = """\
PySR runs on Julia 1.10 or newer.
  With a network: nothing to do, the first `import pysr` installs Julia and its packages (some minutes).
  Without: install Julia and, in a Julia project, SymbolicRegression 2.7 and PythonCall; then set
    PYTHON_JULIACALL_EXE=/path/to/julia and PYTHON_JULIACALL_PROJECT=/path/to/project
  before Python starts.
  Without any Julia, BasicSR takes the same checkpoint: from pysr_neural_baseline import BasicSR."""


def package_folder() -> Path:
    """Return the folder of the Julia package.

    Raises
    ------
    EngineUnavailableError
        If neither the wheel's nor the checkout's copy is there.
    """
    core = Path(__file__).resolve().parents[1]
    candidates = (core / "_julia" / PACKAGE, core.parent / "julia" / PACKAGE)
    for folder in candidates:
        if (folder / "Project.toml").is_file():
            return folder
    raise EngineUnavailableError(
        f"The Julia package {PACKAGE} must lie in {candidates[0]} (wheel) or {candidates[1]} "
        "(checkout); neither exists. Install pysr_neural again."
    )


def julia_available() -> bool:
    """Tell whether PySR is installed and a Julia is on this machine, without starting it.

    True does not promise that it starts; False does not mean that PySR could not install one.
    """
    if "pysr" in sys.modules:
        return True
    if find_spec("pysr") is None:
        return False
    executable = os.environ.get("PYTHON_JULIACALL_EXE") or os.environ.get("PYTHON_JULIAPKG_EXE")
    if executable:
        return shutil.which(executable) is not None
    return shutil.which("julia") is not None or shutil.which("juliaup") is not None or _private_julia() is not None


def _private_julia() -> Path | None:
    """Find the Julia that an earlier `import pysr` installed beside this Python."""
    try:
        from juliapkg.state import STATE
    except ImportError:
        return None
    found = shutil.which(str(Path(STATE["install"]) / "bin" / "julia"))
    return Path(found) if found else None


def boot() -> ModuleType:
    """Import PySR, which starts Julia (and installs it, where it must and can).

    Returns
    -------
    module
        ``pysr``.

    Raises
    ------
    EngineUnavailableError
        If Julia cannot be started; the message says how to get it.
    """
    if "pysr" not in sys.modules and not julia_available():
        _say("No Julia found; PySR tries to install it now, which takes some minutes.")
    try:
        import pysr
    # Julia's start fails in as many ways as there are networks, installations and Julia errors; each becomes one
    # sentence with its cause attached.
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        cause = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
        raise EngineUnavailableError(f"PySR could not start Julia ({cause}).\n{HOW_TO_GET_JULIA}") from error
    return pysr  # type: ignore[no-any-return]


@cache  # Julia would compile the lines below anew each time, twice a fit.
def load_package() -> Any:
    """Load the Julia package, once in a process; boots Julia first where needed.

    Returns
    -------
    juliacall module
        ``NeuralProposer``.

    Raises
    ------
    EngineUnavailableError
        If Julia or the package cannot be loaded.
    """
    boot()
    from pysr import jl

    jl.seval("path -> (path in LOAD_PATH || push!(LOAD_PATH, path); nothing)")(str(package_folder().parent))
    try:
        jl.seval(f"using {PACKAGE}: {PACKAGE}")
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise EngineUnavailableError(
            f"The Julia package {PACKAGE} at {package_folder()} could not be loaded: {error}"
        ) from error
    return getattr(jl, PACKAGE)


def is_interrupt(error: BaseException) -> bool:
    """Tell whether Ctrl-C is behind an error: Python's own, or Julia's on its way through."""
    return isinstance(error, KeyboardInterrupt) or "InterruptException" in f"{type(error).__name__} {error}"


@contextmanager
def load_path_for_workers() -> Iterator[None]:
    """Let workers of a cluster find the package: they inherit the environment, but not Julia's load path."""
    before = os.environ.get(LOAD_PATH)
    os.environ[LOAD_PATH] = (before or "") + os.pathsep + str(package_folder().parent)  # Nothing: Julia's own default.
    try:
        yield
    finally:
        if before is None:
            del os.environ[LOAD_PATH]
        else:
            os.environ[LOAD_PATH] = before


def vector_of_strings(values: Sequence[str]) -> Any:
    """Make a Julia ``Vector{String}``; Julia must run."""
    from juliacall import Main as jl
    from juliacall import convert

    return convert(jl.seval("Vector{String}"), list(values))


def vector_of_floats(values: Iterable[float]) -> Any:
    """Make a Julia ``Vector{Float64}``; Julia must run."""
    from juliacall import Main as jl
    from juliacall import convert

    return convert(jl.seval("Vector{Float64}"), [float(value) for value in values])


def plain(value: Any) -> Any:
    """Turn what Julia answers into numbers, texts, lists and dicts that pickle."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def _say(text: str) -> None:
    sys.stderr.write(f"pysr_neural: {text}\n")
    sys.stderr.flush()
