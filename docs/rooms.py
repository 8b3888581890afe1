"""Draws `docs/rooms.png`: the rooms of every package in their order, and which imports which.

Owns: the picture.  Does not own: the order (import-linter's contracts in `pyproject.toml`), the code.

Run ``python docs/rooms.py`` after a change of either.  An import that others imply is not drawn: A → C beside A → B and
B → C.  The picture carries a digest of what it shows, by which a test tells whether it is up to date.
"""

import ast
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/rooms.png"
PACKAGES = {
    "pysr_neural_benchmarks": ("benchmarks", "benchmarks"),
    "pysr_neural_training": ("training", "training"),
    "pysr_neural_baseline": ("python_baseline", "python_baseline: BasicSR"),
    "pysr_neural": (".", "pysr_neural: the core"),
    "pysr_neural.proposer": (".", "pysr_neural/proposer"),
}
"""Each package's source root and title."""
COLUMNS = (("pysr_neural_benchmarks", "pysr_neural_training", "pysr_neural_baseline"),
           ("pysr_neural", "pysr_neural.proposer"))  # fmt: skip
INK, LINE, FILL, PANEL = "#1f2933", "#7b8794", "#ffffff", "#eef2f6"
COLOURS = ("#0b6e99", "#2f9e44", "#9c36b5", "#d9480f", "#d9480f")
ROW, BOX, HEIGHT, HEAD, GAP = 0.62, 1.16, 0.32, 0.36, 0.28
"""Inches: from row to row, of a box with its margin, of a box, of a panel's title, between panels."""
Rows = list[list[str]]
Edge = tuple[str, str]
Point = tuple[float, float]
BENDS = (0.0, 0.12, -0.12, 0.25, -0.25, 0.4, -0.4, 0.6, -0.6, 0.9, -0.9, 1.4, -1.4)
STEPS = 40


def layers() -> dict[str, Rows]:
    """Return each package's rooms as the contracts order them: rows from the top, which may import what is below."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {
        container: [[room.strip() for room in row.split("|")] for row in contract["layers"]]
        for contract in contracts
        for container in contract.get("containers", ())
    }


def folder_of(package: str) -> Path:
    """Return where a package lies."""
    return ROOT / PACKAGES[package][0] / package.replace(".", "/")


def rooms_on_disk(package: str) -> set[str]:
    """Return the modules and folders that a package consists of."""
    return {
        path.stem
        for path in folder_of(package).iterdir()
        if (path.suffix == ".py" and path.name != "__init__.py") or (path / "__init__.py").exists()
    }


def imports(package: str) -> set[Edge]:
    """Return which room of a package imports which other, lazily or not."""
    found, folder = set(), folder_of(package)
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        for name in _imported(path):
            if name.startswith(f"{package}.") and room != "__init__":
                other = name.removeprefix(f"{package}.").split(".")[0]
                found.add((room, other))
    known = rooms_on_disk(package)
    return {(room, other) for room, other in found if room != other and other in known}


@cache
def _imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def reduced(edges: set[Edge]) -> set[Edge]:
    """Leave out what other edges imply."""
    below: dict[str, set[str]] = {}
    for room, other in edges:
        below.setdefault(room, set()).add(other)

    def reaches(start: str, end: str) -> bool:
        return any(other == end or reaches(other, end) for other in below.get(start, ()))

    return {
        (room, other) for room, other in edges if not any(reaches(via, other) for via in below[room] if via != other)
    }


def shown() -> dict[str, tuple[Rows, list[Edge]]]:
    """Return what the picture shows: each package's rows and the edges between them."""
    return {package: (layers()[package], sorted(reduced(imports(package)))) for package in PACKAGES}


def digest(what: Mapping[str, Any]) -> str:
    """Return a short name of what the picture shows."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def draw(what: Mapping[str, tuple[Rows, Sequence[Edge]]], path: Path) -> None:
    """Draw the packages' panels in columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widths = [max(_width(what[package][0]) for package in column) for column in COLUMNS]
    heights = [sum(_height(what[package][0]) + GAP for package in column) - GAP for column in COLUMNS]
    size = (sum(widths) + GAP * (len(widths) + 1), max(heights) + 2 * GAP)
    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axes.set_axis_off()
    left, colours = GAP, iter(COLOURS)
    for column, width in zip(COLUMNS, widths, strict=True):
        top = size[1] - GAP
        for i, package in enumerate(column):
            _panel(axes, PACKAGES[package][1], *what[package], (left, top, width), next(colours))
            if column is COLUMNS[0]:  # All import the core, and the package below.
                _thick(axes, (left + width, top - HEAD / 2), (left + width + GAP, top - HEAD / 2))
            top -= _height(what[package][0]) + GAP
            if column is COLUMNS[0] and i + 1 < len(column):
                _thick(axes, (left + width / 2, top + GAP), (left + width / 2, top))
        left += width + GAP
    _write(figure, path, digest(what))


def _write(figure: Any, path: Path, name: str) -> None:
    """Write a figure in few colours, with the name of what it shows."""
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Description", name)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB").quantize(32)
    picture.save(path, optimize=True, pnginfo=told)


def _width(rows: Rows) -> float:
    return BOX * max(4, *map(len, rows))


def _height(rows: Rows) -> float:
    return HEAD + ROW * len(rows)


def _thick(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between packages."""
    arrow = {"arrowstyle": "simple,head_width=0.9,head_length=0.7,tail_width=0.35", "color": LINE, "shrinkA": 0}
    axes.annotate("", end, start, arrowprops={**arrow, "shrinkB": 0})


def _panel(
    axes: Any, title: str, rows: Rows, edges: Sequence[Edge], place: tuple[float, float, float], colour: str
) -> None:
    """Draw one package: a row per layer, an arrow per import."""
    from matplotlib.patches import FancyBboxPatch

    left, top, width = place
    height = _height(rows)
    axes.add_patch(
        FancyBboxPatch((left, top - height), width, height, "round,pad=0,rounding_size=0.08", fc=PANEL, lw=0)
    )
    axes.text(left + 0.12, top - HEAD / 2, title, color=colour, weight="bold", size=11, va="center")
    centre = {}
    for i, row in enumerate(rows):
        y = top - HEAD - (i + 0.45) * ROW
        for j, room in enumerate(row):
            centre[room] = (left + width * (j + 0.5) / len(row), y)
    for room, (x, y) in centre.items():
        corner = (x - (BOX - 0.14) / 2, y - HEIGHT / 2)
        style = "round,pad=0,rounding_size=0.06"
        axes.add_patch(FancyBboxPatch(corner, BOX - 0.14, HEIGHT, style, fc=FILL, ec=colour, lw=1.2, zorder=3))
        axes.text(x, y, room, color=INK, size=9, ha="center", va="center", zorder=4)
    for room, other in edges:
        (x, y), (to_x, to_y) = centre[room], centre[other]
        start, end = (x, y - HEIGHT / 2), (to_x, to_y + HEIGHT / 2)
        others = [place for name, place in centre.items() if name not in (room, other)]
        bend = min(BENDS, key=lambda bend, start=start, end=end, others=others: _awry(start, end, bend, others))
        arrow = {"arrowstyle": "-|>,head_width=0.16,head_length=0.3", "color": LINE, "lw": 1.0, "shrinkA": 0}
        arrow |= {"shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
        axes.annotate("", end, start, arrowprops=arrow, zorder=2)


def _awry(start: Point, end: Point, bend: float, boxes: Sequence[Point]) -> int:
    """Return how much of an arrow (`arc3`) lies behind boxes, counted thrice, or above its start or below its end."""
    (x, y), (to_x, to_y) = start, end
    middle = ((x + to_x) / 2 + bend * (to_y - y), (y + to_y) / 2 - bend * (to_x - x))
    count = 0
    for i in range(1, STEPS):
        t = i / STEPS
        parts = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
        at_x, at_y = (
            sum(p * c for p, c in zip(parts, axis, strict=True))
            for axis in ((x, middle[0], to_x), (y, middle[1], to_y))
        )
        behind = any(abs(at_x - a) < BOX / 2 and abs(at_y - b) < HEIGHT / 2 + 0.04 for a, b in boxes)
        count += 3 * behind + (not to_y <= at_y <= y)
    return count


def main() -> int:
    """Draw the picture."""
    draw(shown(), PICTURE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
