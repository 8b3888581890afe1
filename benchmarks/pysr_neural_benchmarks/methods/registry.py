"""The methods by name, those of other packages included.

Owns: names, what each needs, how a name is read.  Does not own: the methods.

A name may carry an argument and a checkpoint: ``pysr-neural:seed,child@path/to/checkpoint``.  Another package registers
a method as an entry point of the group ``pysr_neural.methods``: a callable of (argument, checkpoint) that returns an
object with the protocol `methods.base.Method`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural_benchmarks.methods.base import Method

GROUP = "pysr_neural.methods"
DEFAULT_CHECKPOINT = "default"
Factory = Callable[[str, str], Method]
_HERE = "pysr_neural_benchmarks.methods"


@dataclass(frozen=True)
class Entry:
    """One method of this package.

    Parameters
    ----------
    factory : str
        ``"module:attribute"`` below this package: a callable of (argument, checkpoint).
    summary : str
    needs : tuple of (module, remedy)
        Modules that must be installed, and how to get each.
    argument : str
        What may follow a colon; empty for nothing.
    """

    factory: str
    summary: str
    needs: tuple[tuple[str, str], ...] = ()
    argument: str = ""


_GPLEARN = (("gplearn", "Run `pip install gplearn`."),)
_OPERON = (("pyoperon", "Run `pip install pyoperon`."),)
_FLASH = (("flash_ansr", "Run `pip install flash-ansr`, and give its weights as flash-ansr:FOLDER."),)
_RILS_ROLS = (
    (
        "rils_rols_cpp",
        "Run `make peers`, or `pip install pybind11 setuptools` and then `pip install --no-build-isolation rils-rols`; "
        "it is compiled, with a C++17 compiler and Python's headers.",
    ),
)
_PSRN = (("psrn", "Run `pip install -c constraints.txt psrn`."),)
_NESYMRES = (
    (
        "nesymres",
        "Clone SymposiumOrganization/NeuralSymbolicRegressionThatScales, run `pip install -e src/` in it, and give the "
        "folder of weights, config.yaml and eq_setting.json as nesymres:FOLDER.",
    ),
)
METHODS: dict[str, Entry] = {
    "basicsr": Entry("basic:basicsr", "BasicSR, the reference engine in Python", argument="default | reference"),
    "neuralsr": Entry(
        "basic:neuralsr",
        "BasicSR with the transformer",
        argument="layout (share | onestep | whole), or levels such as seed,child",
    ),
    "direct": Entry("direct:DirectPrediction", "samples of the transformer from the data alone, refined; no search"),
    "pysr": Entry("pysr:plain", "PySR, its defaults", argument="precision=64"),
    "pysr-neural": Entry(
        "pysr:neural",
        "PySR with the transformer",
        argument="levels such as seed,child, or all; overhead=SHARE; precision=64",
    ),
    "pysr-foresight": Entry(
        "pysr:foresight",
        "PySR with the step that looks ahead, and no other help",
        argument="untrained; share=NUMBER, default 0.1; precision=64",
    ),
    "pysr-restarts": Entry(
        "controls:restarts", "control: PySR started anew with other seeds", argument="seconds per start, default 2"
    ),
    "pysr-prior": Entry(
        "controls:prior_samples",
        "control: PySR with samples of the unconditioned prior, refined, as guesses",
        argument="samples, default 256",
    ),
    "pysr-combined": Entry(
        "controls:combined_samples",
        "control: the same samples, combined part with part as the transformer's are, as guesses",
        argument="samples, default 256",
    ),
    "pysr-distilled": Entry(
        "controls:distilled", "control: PySR with parameters from a JSON file", argument="the file, required"
    ),
    "pysr-backsolve": Entry(
        "controls:backsolve",
        "control: PySR with its own joiner, BacksolveMutation, which its defaults leave out",
        argument="weight=NUMBER, default 0.05; help, for the transformer too",
    ),
    "gplearn": Entry("others:gplearn", "gplearn's genetic programming", _GPLEARN),
    "operon": Entry("others:operon", "Operon (pyoperon), two objectives", _OPERON),
    "rils-rols": Entry("peers:rils_rols", "RILS-ROLS, iterated local search with least squares", _RILS_ROLS),
    "psrn": Entry(
        "peers:psrn",
        "PSRN, parallel symbolic enumeration",
        _PSRN,
        "layers=3,inputs=5; without a GPU layers=2,inputs=10",
    ),
    "flash-ansr": Entry("pretrained:FlashANSR", "a published transformer, refined", _FLASH, "folder of its weights"),
    "nesymres": Entry("pretrained:NeSymReS", "a published transformer, refined", _NESYMRES, "folder of its weights"),
}


@dataclass(frozen=True)
class MethodName:
    """A method's name taken apart.

    Parameters
    ----------
    name, argument, checkpoint : str
    """

    name: str
    argument: str = ""
    checkpoint: str = DEFAULT_CHECKPOINT


def read_name(text: str) -> MethodName:
    """Take ``name[:argument][@checkpoint]`` apart, and check that there is such a method.

    Raises
    ------
    ConfigError
        If there is none.
    """
    rest, _, checkpoint = text.partition("@")
    name, _, argument = rest.partition(":")
    known = set(METHODS) | {point.name for point in entry_points(group=GROUP)}
    if name not in known:
        raise ConfigError(f"A method must be known; got {name!r}." + did_you_mean(name, known))
    return MethodName(name, argument, checkpoint or DEFAULT_CHECKPOINT)


def check(text: str) -> None:
    """Check a method's name and that the packages that it needs are installed, without importing them.

    Raises
    ------
    ConfigError
        With what is missing and how to get it.
    """
    name = read_name(text).name
    for module, remedy in METHODS[name].needs if name in METHODS else ():
        if find_spec(module) is None:
            raise ConfigError(f"The method {name!r} needs the package {module!r}; it is not installed. {remedy}")


def make(text: str) -> Method:
    """Make a method by its name.

    Raises
    ------
    ConfigError
        If it is unknown, a package or its weights are missing, or its argument is not what it takes.
    """
    check(text)
    given = read_name(text)
    if given.name in METHODS:
        module, _, attribute = METHODS[given.name].factory.partition(":")
        factory: Factory = getattr(import_module(f"{_HERE}.{module}"), attribute)
    else:
        (point,) = [point for point in entry_points(group=GROUP) if point.name == given.name]
        factory = point.load()
    return factory(given.argument, given.checkpoint)
