"""Packages that only some users need: imported when they are needed, with an error that names the extra.

Owns: `require`.  Does not own: which extras there are (`pyproject.toml`).
"""

from importlib import import_module
from typing import Any

from pysr_neural.errors import ConfigError


def require(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional dependency.

    Parameters
    ----------
    module : str
        Such as ``"pyarrow.parquet"``.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What needs it, as the subject of a sentence.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        if missing != module.partition(".")[0]:
            raise
        raise ConfigError(
            f'{purpose} needs the package {missing!r}; it is not installed. Run `pip install "pysr-neural[{extra}]"`.'
        ) from error
