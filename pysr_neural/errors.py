"""The package's exceptions, and the sentence form that all of them share.

Owns: exception types and `did_you_mean`.  Does not own: warnings, fallback counting (see `proposer.guarded`).
"""

from collections.abc import Iterable
from difflib import get_close_matches


class NeuralProposerError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(NeuralProposerError, ValueError):
    """A parameter or a configuration file does not hold what it must."""


class ExpressionError(NeuralProposerError, ValueError):
    """A text, a code sequence or a tree is not an expression of the language."""


class WireError(NeuralProposerError, ValueError):
    """A frame or a prompt does not follow the wire format."""


class CheckpointError(NeuralProposerError, ValueError):
    """A checkpoint is missing, truncated, foreign, or of another vocabulary."""


class DataError(NeuralProposerError, ValueError):
    """X or y is not usable for a search."""


class TraceError(NeuralProposerError, ValueError):
    """A trace is truncated, foreign, of another version, or cannot be written."""


class DatasetError(NeuralProposerError, ValueError):
    """A dataset of problems is empty, corrupt, mixed, of another version, or cannot be written."""


class TrainingError(NeuralProposerError, RuntimeError):
    """Training cannot go on: the loss is not finite, or the disk takes no checkpoint."""


class EngineUnavailableError(NeuralProposerError, RuntimeError):
    """PySR's Julia engine cannot be started here."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End an error message with the nearest known name, and with the list of all.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        The names that would have been accepted.

    Returns
    -------
    str
        ``" Did you mean 'x'? Known: a, b, c."``; the question is left out where nothing is near.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    question = f" Did you mean {near[0]!r}?" if near else ""
    return f"{question} Known: {', '.join(names)}."
