"""Results as they can be published: without the folders of whoever made them.

Owns: what is left of a path in commands, plans and rows.  Does not own: the files (`runner.store`).

A path relative to the working folder stays as it is, since it says no more than the command did.  Of any other only its
last part stays.  Two checkpoints may well share that (``a/model``, ``b/model``), so those that belong to a method's
name also keep four digits of their path's digest.
"""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_LEADING = r"(?<![\w)\]/.])(?P<path>(?:~[\w-]*|\.\.(?:/\.\.)*)?/(?!/)[^{stop}]+)"
_WITHIN_NAMES = re.compile(_LEADING.format(stop=r":,;@"))
_WITHIN_TEXT = re.compile(_LEADING.format(stop=r"\s'\":,;@()"))


def name(given: str) -> str:
    """Return an option, a suite or a method's name; ``neuralsr@/home/a/model`` becomes ``neuralsr@model~1f0c``."""

    def last_part(match: re.Match[str]) -> str:
        path = match["path"]
        before = given[: match.start()]
        if not before or before.endswith("="):
            return _last(path)
        return f"{_last(path)}~{hashlib.sha256(path.encode()).hexdigest()[:4]}"

    return _WITHIN_NAMES.sub(last_part, given)


def text(given: str) -> str:
    """Return a message, such as the end of a process's log, with the last parts of the paths in it."""
    return _WITHIN_TEXT.sub(lambda match: _last(match["path"]), given)


def command(given: Sequence[str]) -> str:
    """Return a command as a line for a shell."""
    return shlex.join(map(name, given))


def plan(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a folder's plan with its commands."""
    named = ("suites", "methods")
    return {
        **known,
        "commands": [{**each, "command": command(_words(each["command"]))} for each in known["commands"]],
        "plans": [{**each, **{key: [name(one) for one in each[key]] for key in named}} for each in known["plans"]],
    }


def row(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finished run."""
    told = {key: name(known[key]) for key in ("method", "suite") if known.get(key)}
    return {**known, **told, **({"message": text(known["message"])} if known.get("message") else {})}


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # Written by other hands.
        return line.split()


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "/"
