"""Show a checkpoint: its card, or what can be read off its files.

Owns: ``pysr-neural model card`` and ``pysr-neural model inspect``.  Does not own: checks and loading (`checkpoint`).
"""

import argparse
import json
import math
from pathlib import Path

from pysr_neural.errors import CheckpointError
from pysr_neural.model.checkpoint import CONFIG, DEFAULT, WEIGHTS, resolve

CARD = "README.md"
SIZES = ("width", "heads", "layers", "feedforward", "latents", "encoder_layers")


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural model``; see `pysr_neural.cli`."""
    parser = argparse.ArgumentParser(prog="pysr-neural model", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("card", "inspect"), help="print the model card, or sizes and vocabulary")
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT, help="'default', a directory or a hub id")
    arguments = parser.parse_args(argv)
    path = resolve(arguments.checkpoint)
    print(card(path) if arguments.action == "card" else inspection(path))
    return 0


def card(path: Path) -> str:
    """Return the text of a checkpoint's card.

    Raises
    ------
    CheckpointError
        If it has none.
    """
    file = path / CARD
    if not file.is_file():
        raise CheckpointError(f"A checkpoint's card must be the file {CARD} beside its weights; {path} has none.")
    return file.read_text(encoding="utf-8")


def inspection(path: Path) -> str:
    """Return what a checkpoint's configuration and the header of its weights say, a line each."""
    from safetensors import SafetensorError, safe_open

    config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    try:
        with safe_open(path / WEIGHTS, framework="numpy") as weights:
            shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"The weights in {path} must be whole; got: {error}. Save them again.") from error
    vocabulary = f"{config['vocabulary_hash']}, {config.get('vocabulary_size')} tokens, wire {config['wire_version']}"
    rows = {
        "checkpoint": str(path),
        "parameters": f"{sum(math.prod(shape) for shape in shapes.values()):,} in {len(shapes)} tensors",
        "file size": f"{(path / WEIGHTS).stat().st_size / 1e6:.2f} MB",
        "sizes": ", ".join(f"{name} {config[name]}" for name in SIZES if name in config),
        "vocabulary": vocabulary,
    }
    return "\n".join(f"{label:<12}{value}" for label, value in rows.items())
