"""The README's Python blocks run, its commands and paths exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from pysr_neural.cli import commands

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- test: julia -->\n)?```python\n(.*?)```", re.DOTALL)
BLOCKS = [
    pytest.param(match[2], id=f"block {i}", marks=[pytest.mark.julia] if match[1] else [])
    for i, match in enumerate(BLOCK.finditer(README), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_block_runs(code, request, capsys):
    if request.node.get_closest_marker("julia"):
        from pysr_neural.errors import EngineUnavailableError

        try:
            import pysr_neural

            _ = pysr_neural.PySRRegressor
        except EngineUnavailableError as error:
            pytest.skip(str(error).splitlines()[0])
    X = np.random.default_rng(0).uniform(0.5, 3.0, size=(40, 2))
    exec(compile(code, "README.md", "exec"), {"X": X, "y": X[:, 0] * X[:, 1] + 1.0})


def test_there_are_blocks():
    assert len(BLOCKS) >= 3


def test_commands_named_exist():
    known = {" ".join(words) for words in commands()}
    named = re.findall(r"^\| `pysr-neural ([a-z]+(?: [a-z-]+)?)", README, re.MULTILINE)
    assert len(named) >= 6
    for name in named:
        assert name in known or name.split()[0] in known, name


def test_make_targets_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_paths_of_the_tree_exist():
    tree = README[README.index("## Where everything lives") :].split("```")[1]
    folders = [ROOT]
    for line in filter(None, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names = line.strip().split("  ")[0].split()
        for name in names:
            assert (folders[depth] / name).exists(), f"{folders[depth].name}/{name}"
        folders[depth + 1 :] = [folders[depth] / names[0]]
    assert len(folders) > 1


def test_files_linked_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
