"""Show a checkpoint, or copy it: its card, what can be read off its files, a plain directory of them.

Owns: ``pysr-neural model card``, ``… inspect`` and ``… export``.  Does not own: checks and loading (`checkpoint`).
"""

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

from pysr_neural.config import DEFAULT
from pysr_neural.errors import CheckpointError, ConfigError
from pysr_neural.model.checkpoint import CONFIG, WEIGHTS, resolve

CARD = "card.json"
"""How the checkpoint was made, and what was measured; written by `train`."""
SIZES = ("width", "heads", "layers", "feedforward", "latents", "encoder_layers")


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural model``; see `pysr_neural.cli`."""
    parser = argparse.ArgumentParser(prog="pysr-neural model", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("card", "inspect", "export"), help="print its card or its sizes, or copy it")
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT, help="'default', a directory or a hub id")
    parser.add_argument("--out", type=Path, help="new directory of the exported checkpoint")
    arguments = parser.parse_args(argv)
    path = resolve(arguments.checkpoint)
    if arguments.action == "export":
        print(f"Exported to {export(path, arguments.out)}; read it with neural_proposer= or from_pretrained.")
    else:
        print(card(path) if arguments.action == "card" else inspection(path))
    return 0


def card(path: Path) -> str:
    """Return a checkpoint's card as indented text.

    Raises
    ------
    CheckpointError
        If it has none, or it cannot be read.
    """
    try:
        return "\n".join(_lines(json.loads((path / CARD).read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"A checkpoint's card must be the file {CARD} beside its weights; {path} has none."
        ) from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"A checkpoint's card must be JSON; got {error} in {path / CARD}.") from error


def _lines(entries: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in entries.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{indent}{name}: {text}")
    return lines


def export(path: Path, out: Path | None) -> Path:
    """Copy a checkpoint's files to a new directory, which `from_pretrained` reads.

    Raises
    ------
    ConfigError
        If no directory is named, or it is not empty.
    """
    if out is None or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ConfigError(f"An export needs a new or empty directory, --out DIR; got {out}.")
    out.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, WEIGHTS, CARD):
        if (path / name).is_file():
            shutil.copyfile(path / name, out / name)
    return out


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
