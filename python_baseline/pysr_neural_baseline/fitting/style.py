"""Colours and Matplotlib settings of all pictures, and pictures as text within a page.

Owns: form.  Does not own: what is drawn.
"""

from io import StringIO
from typing import Any

from matplotlib.figure import Figure

INK, MUTED, LINE, LAW, NEURAL = "#1f2933", "#616e7c", "#cbd2d9", "#0b6e99", "#d9480f"
STYLE: dict[Any, Any] = {  # Matplotlib types its keys as some hundred literals.
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "pysr-neural",
}
SMALLEST = 1e-16
"""What a loss of zero is drawn at."""


def svg_text(figure: Figure, **options: Any) -> str:
    """Return a figure as the SVG element that a page embeds; options are those of ``savefig``."""
    stream = StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, **options)
    text = stream.getvalue()
    return text[text.index("<svg") :]
