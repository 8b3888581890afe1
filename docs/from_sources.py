"""Pages made from sources: the findings from their scripts' headers, the Julia package from its docstrings.

Owns: reading both, writing ``docs/made/*.md``, which git ignores.  Does not own: what they say, Sphinx (`conf.py`).

Neither Julia nor Sphinx is needed.  A Julia docstring is the text between three quotes; what it is about is the first
line of code after it.
"""

import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JULIA = ROOT / "julia/NeuralProposer/src"
FINDINGS = ROOT / "findings"
DOCSTRING = re.compile(r'^"""(?P<text>.*?)"""\n(?P<code>[^\n]+)', re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r'^include\("(\w+\.jl)"\)', re.MULTILINE)
NAMED = re.compile(
    r"^(?:@\w+ +)*(?:(?:mutable )?struct|abstract type|module|macro|const|function)? *(?P<name>[A-Za-z_][\w.!]*!?)"
)
REFERENCE = re.compile(r"\[(`[^`]+`)\]\(@ref\)")


def julia_page(folder: Path = JULIA) -> str:
    """Return the Julia package's docstrings as one page, file by file in the order of inclusion.

    Parameters
    ----------
    folder : Path
        With ``NeuralProposer.jl``, which includes the others.

    Raises
    ------
    ValueError
        If a docstring stands before code whose name cannot be read.
    """
    main = folder / "NeuralProposer.jl"
    files = [main, *(folder / name for name in INCLUDE.findall(main.read_text(encoding="utf-8")))]
    parts = [
        "# The Julia package",
        "`NeuralProposer` plugs into SymbolicRegression.jl. PySR's users need nothing of it; Julia's users construct "
        "`NeuralProposerPlugin` and read `report`. The rest is for those who change it. Made from the docstrings in "
        "`julia/NeuralProposer/src`, in the order in which the files are included.",
    ]
    for path in files:
        text = path.read_text(encoding="utf-8")
        entries = [_entry(found, path) for found in DOCSTRING.finditer(text)]
        if entries:
            parts += [f"## {path.name}", *([header] if (header := _header(text)) else []), *entries]
    return "\n\n".join(parts) + "\n"


def _header(text: str) -> str:
    """Return the comment that a Julia file begins with, as a paragraph each."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def _entry(found: re.Match[str], path: Path) -> str:
    """Return one docstring below the name of what it describes."""
    named = NAMED.match(found["code"])
    if named is None:
        raise ValueError(f"{path.name}: no name could be read from {found['code']!r}, below a docstring.")
    text = REFERENCE.sub(r"\1", found["text"].strip("\n"))
    signature = re.match(r"( {4}[^\n]+\n)+", text)
    if signature:
        code = "\n".join(line.removeprefix("    ") for line in signature[0].rstrip().splitlines())
        text = f"```julia\n{code}\n```\n{text[signature.end() :]}"
    return f"### `{named['name']}`\n\n" + re.sub(r"^# (\w+)$", r"**\1**", text, flags=re.MULTILINE).strip()


def findings_page(folder: Path = FINDINGS) -> str:
    """Return the findings as one page: the README's preface, then each script's header."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    preface = readme.partition("\n| ")[0].strip()
    entries = []
    for path in sorted(folder.glob("*.sh")):
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        header = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
        told = " ".join(line.removeprefix("#").strip() for line in header)
        entries.append(f"## `{path.stem}`\n\n{_plain(told)}\n\n```\nbash findings/{path.name}\n```")
    return "\n\n".join([preface, *entries]) + "\n"


def _plain(text: str) -> str:
    """Return text in which nothing is markup, as the scripts mean it: asterisks multiply, bars are absolute values."""
    return re.sub(r"([*_<>\[\]$\\`|])", r"\\\1", text)


PAGES: dict[str, Callable[[], str]] = {"findings.md": findings_page, "julia.md": julia_page}
"""The pages below ``docs/made`` and who makes them."""


def write(folder: Path) -> None:
    """Write all pages; one that has not changed is left alone, so that a builder does not read it again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        text, path = make(), folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(ROOT / "docs/made")
