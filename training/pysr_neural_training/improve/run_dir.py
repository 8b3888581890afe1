"""The run directory of the `improve` commands: what is written, and how a run goes on after it was killed.

Owns: the files below.  Does not own: what a round does (`rounds`), pictures and pages (`report`).

``config.json``       the method and its configuration; a run goes on only with the same one
``rounds.jsonl``      a record per finished round, the starting checkpoint being round 0
``round-NNN/``        a finished round: ``model/`` (a plain checkpoint with its card), ``examples.npz``, ``record.json``
``round-NNN.part/``   the round that is being made; thrown away by a resumed run
``model/``            the best round's checkpoint
``rounds.png``, ``README.md``  solve rate and evaluations by round, and the run on one screen
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.improve.config import ImproveConfig
from pysr_neural_training.learning.run_dir import replace_file

Record = dict[str, Any]
UNBOUND = ("rounds", "patience", "workers", "scheduler", "threads", "together")
"""Settings that a resumed run may change: what was done so far does not depend on them."""


class RunDirectory:
    """One run's files.

    Parameters
    ----------
    path : Path
        Made if missing.
    method : str
    config : ImproveConfig

    Raises
    ------
    ConfigError
        If the folder holds a run of another method or configuration.
    """

    def __init__(self, path: Path, method: str, config: ImproveConfig) -> None:
        self.path, self.method, self.config = path, method, config
        path.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps({"method": method, **asdict(config)}))
        file = path / "config.json"
        if file.exists():
            _check_same(json.loads(file.read_text()), wanted, path)
        replace_file(file, json.dumps(wanted, indent=1) + "\n")
        for unfinished in path.glob("round-*.part"):
            shutil.rmtree(unfinished)
        self._write_records()

    def folder(self, number: int) -> Path:
        """Return a finished round's folder."""
        return self.path / f"round-{number:03d}"

    def checkpoint(self, number: int) -> str:
        """Return the name of the checkpoint that a finished round left."""
        return str(self.folder(number) / "model")

    def records(self) -> list[Record]:
        """Return the records of the finished rounds, in order, up to the first that is missing."""
        found: list[Record] = []
        while (file := self.folder(len(found)) / "record.json").exists():
            found.append(json.loads(file.read_text()))
        return found

    def begin(self, number: int) -> Path:
        """Make the folder in which a round is made."""
        part = self.path / f"round-{number:03d}.part"
        part.mkdir()
        return part

    def finish(self, number: int, model: ProposerModel, record: Mapping[str, Any]) -> None:
        """Write a round's checkpoint and record, and make it count: all at once, by renaming its folder."""
        part = self.path / f"round-{number:03d}.part"
        self._write_checkpoint(part / "model", model, record)
        replace_file(part / "record.json", json.dumps(record, indent=1) + "\n")
        os.replace(part, self.folder(number))
        self._write_records()

    def keep_best(self, number: int) -> None:
        """Copy a round's checkpoint to ``model/``."""
        copy, final = self.path / "model.part", self.path / "model"
        for old in (copy, final):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self.folder(number) / "model", copy)
        os.replace(copy, final)

    def _write_checkpoint(self, path: Path, model: ProposerModel, record: Mapping[str, Any]) -> None:
        model.save_pretrained(path, safe_serialization=True)
        card = {
            "name": f"{self.method}-{record['round']}",
            "command": f"pysr-neural improve {self.method}",
            "seed": self.config.seed,
            "initial": self.config.initial,
            "vocabulary_hash": model.config.vocabulary_hash,
            "metrics": dict(record),
            "config": asdict(self.config),
        }
        (path / "card.json").write_text(json.dumps(card, indent=1) + "\n")

    def _write_records(self) -> None:
        lines = [json.dumps(record) + "\n" for record in self.records()]
        replace_file(self.path / "rounds.jsonl", "".join(lines))


def _check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    for name in sorted({*found, *wanted} - set(UNBOUND)):
        if found.get(name) != wanted.get(name):
            raise ConfigError(
                f"A run goes on with the settings that it began with; {path} has {name} = {found.get(name)!r}, this "
                f"command {wanted.get(name)!r}. Name another folder with --out, or use the same settings."
            )
