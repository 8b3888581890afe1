"""The `pysr-neural` command: finds a command by its name and runs it.

Owns: the list of commands, its help, and how errors end.  Does not own: any command.  Commands are entry points of the
group ``pysr_neural.commands``, so that this package can offer those of packages that it must not import; a dot in an
entry point's name is a space on the command line.  Each is a ``main(argv: list[str] | None) -> int``.
"""

import ast
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path

from pysr_neural.errors import ConfigError, NeuralProposerError, did_you_mean

GROUP = "pysr_neural.commands"
PROGRAM = "pysr-neural"
USAGE_ERROR = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command named by the first arguments.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process if not given.

    Returns
    -------
    int
        Exit code: the command's own; 2 for an error of the user's, told in one line; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    return ended(lambda: _run(arguments))


def ended(run: Callable[[], int]) -> int:
    """Run a command and tell how it ended: returns its exit code, or that of its error, which is told in one line."""
    try:
        return run()
    except NeuralProposerError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED


def commands() -> dict[tuple[str, ...], EntryPoint]:
    """Return the installed commands by their words, such as ``("bench", "proposals")``."""
    found = {tuple(point.name.split(".")): point for point in entry_points(group=GROUP)}
    return dict(sorted(found.items()))


def _run(arguments: list[str]) -> int:
    known = commands()
    if not known:
        raise ConfigError(f"{PROGRAM} must be installed to know its commands; got none. Run `pip install -e .`.")
    for length in (2, 1):
        point = known.get(tuple(arguments[:length]))
        if point is not None:
            return int(point.load()(arguments[length:]))
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(_help(known))
        return 0
    if first == "--version":
        print(f"{PROGRAM} {_version()}")
        return 0
    return _unknown(arguments, known)


def _unknown(arguments: list[str], known: dict[tuple[str, ...], EntryPoint]) -> int:
    group = {words: point for words, point in known.items() if words[0] == arguments[0]}
    rest = [word for word in arguments[1:2] if word not in ("-h", "--help")]
    if group and not rest:
        print(_help(group))
        return 0 if len(arguments) > 1 else USAGE_ERROR
    wanted = " ".join(arguments[:2] if group else arguments[:1])
    names = {" ".join(words) for words in group} or {words[0] for words in known}
    raise ConfigError(f"There must be a command of that name; got {wanted!r}." + did_you_mean(wanted, names))


def _help(known: dict[tuple[str, ...], EntryPoint]) -> str:
    width = max(len(" ".join(words)) for words in known) + 2
    lines = [f"  {' '.join(words):<{width}}{_summary(point)}" for words, point in known.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [--help] …", "", "commands:", *lines])


def _summary(point: EntryPoint) -> str:
    """Read the first line of the module's docstring without importing the module, which may pull torch in."""
    try:
        spec = find_spec(point.module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return "(not installed)"
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    line = text.partition("\n")[0]
    return line.partition("`: ")[2] if line.startswith("`") else line


def _version() -> str:
    try:
        return version("pysr-neural")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
