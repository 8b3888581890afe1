"""Documents as tests read them: blocks of code and commands, headings, links, the navigation.

A block is run by the test of its page unless a comment stands on the line before it: ``<!-- test: julia -->`` and
``<!-- test: slow -->`` leave it to the tests of that marker, ``<!-- test: no -->`` to the reader.  Of shell blocks only
those with ``<!-- test: run -->`` or ``<!-- test: slow -->`` are run, and of these only lines of `pysr-neural`.
"""

import re
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = DOCS / "made"
FENCE = re.compile(
    r"(?:<!-- test: (?P<when>\w+) -->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str
    when: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks in order."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["kind"], each["when"] or "", each["text"]) for each in found]


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands() -> dict[tuple[str, ...], str]:
    """Return the commands by their words, as `pyproject.toml` has them, which an old installation may not know."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    return {tuple(name.split(".")): target for name, target in points["pysr_neural.commands"].items()}


def command_lines(text: str) -> list[list[str]]:
    """Return the words of a shell block's commands of ours, without the program's name."""
    import shlex

    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("pysr-neural ")]


def named(words: list[str]) -> tuple[str, ...] | None:
    """Return the command that words begin with; None if there is none."""
    known = commands()
    return next((tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in known), None)


def call(words: list[str]) -> int:
    """Run a command of ours in this process."""
    name = named(words)
    assert name is not None, words
    module, _, function = commands()[name].partition(":")
    return getattr(import_module(module), function)(words[len(name) :])


def anchors(page: Path) -> set[str]:
    """Return what links may point at within a page, as GitHub and MyST name headings."""
    titles = [re.sub(r"[`*]", "", title.strip()) for title in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[tuple[str, str]]:
    """Return a page's relative links: file, and anchor, either of which may be empty."""
    found = [target.partition("#") for target in LINK.findall(prose(page))]
    return [(path, anchor) for path, _, anchor in found]


def navigation() -> list[Path]:
    """Return the pages in the order of the site's navigation, first page first."""
    found = [DOCS / "index.md"]
    for page in found:
        for block in blocks(page) if page.is_file() else ():
            if block.kind == "{toctree}":
                entries = [line for line in block.text.splitlines() if line and not line.startswith(":")]
                found += [(page.parent / f"{entry}.md").resolve() for entry in entries]
    return found
