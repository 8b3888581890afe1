"""The README's Python blocks run, its make targets exist, and its figures are those of the benchmarks' page."""

import re

import numpy as np
import pytest

from tests.documents import DOCS, ROOT, blocks, commands, prose

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = [
    pytest.param(block.text, id=f"block {i}", marks=[pytest.mark.julia] if block.when == "julia" else [])
    for i, block in enumerate((each for each in blocks(README) if each.kind == "python"), 1)
]
SCREEN_AND_A_HALF = 75
"""Lines, at fifty a screen."""


@pytest.mark.parametrize("code", BLOCKS)
def test_block_runs(code, capsys):
    X = np.random.default_rng(0).uniform(0.5, 3.0, size=(40, 2))
    exec(compile(code, "README.md", "exec"), {"X": X, "y": X[:, 0] * X[:, 1] + 1.0})


def test_there_are_blocks_and_it_is_short():
    assert len(BLOCKS) == 2
    assert len(TEXT.splitlines()) <= SCREEN_AND_A_HALF


def section(page, title):
    text = page.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2]
    return text.partition("\n## ")[0]


def test_its_figures_are_those_of_the_benchmarks():
    first, rest = section(README, "What it is worth").strip().split("\n\n", 1)
    assert re.search(r"\d+ %", first)
    assert first in section(DOCS / "benchmarks.md", "In short")
    assert "docs/three_seeds.png" in rest


@pytest.mark.parametrize("page", [README, DOCS / "use.md", DOCS / "benchmarks.md", ROOT / "CONTRIBUTING.md"], ids=str)
def test_make_targets_named_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_commands_named_exist():
    known = {" ".join(words) for words in commands()}
    table = re.findall(r"^\| `pysr-neural ([a-z]+)((?: [a-z-]+)?)[^|]*\|", prose(DOCS / "use.md"), re.MULTILINE)
    assert len(table) >= 15
    for first, second in table:
        assert first in known or first + second in known, first + second
    rows = [row for row in prose(DOCS / "use.md").splitlines() if row.startswith("| `pysr-neural")]
    for row in rows:
        group = row.split("`")[1].split()[1]
        for name in re.findall(r"`… ([a-z-]+)", row.split("|")[1]):
            assert group in known or f"{group} {name}" in known, f"{group} {name}"


def test_every_command_is_told_of():
    told = prose(DOCS / "use.md")
    for words in commands():
        assert re.search(rf"`(?:pysr-neural {' '.join(words)}|pysr-neural {words[0]}\b|… {words[-1]})", told), words


def test_paths_of_the_tree_exist():
    text = (DOCS / "where.md").read_text(encoding="utf-8")
    tree = text[text.index("## Where everything lives") :].split("```")[1]
    folders = [ROOT]
    for line in filter(None, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names = line.strip().split("  ")[0].split()
        for name in names:
            assert (folders[depth] / name).exists(), f"{folders[depth].name}/{name}"
        folders[depth + 1 :] = [folders[depth] / names[0]]
    assert len(folders) > 1
