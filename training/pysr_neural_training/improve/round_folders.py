"""The rounds in an `improve` run's directory: what is written, and how a run goes on after it was killed.

Owns: the folders below.  Does not own: what every run has in its directory (`pysr_neural_training.learning.run_dir`),
what a round does (`rounds`), pictures and pages (`report`).

``metrics.jsonl``     a record per finished round, the starting checkpoint being round 0
``round-NNN/``        a finished round: ``model/`` (a plain checkpoint with its card), ``examples.npz``, ``record.json``
``round-NNN.part/``   the round that is being made; thrown away by a resumed run
``model/``            the best round's checkpoint
``rounds.png``, ``README.md``  solve rate and evaluations by round, and the run on one screen
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.improve.config import ImproveConfig
from pysr_neural_training.learning.run_dir import MODEL, Record, RunDirectory, replace_file

RECORD = "record.json"
FREE = ("rounds", "patience", "workers", "scheduler", "threads", "together")
"""Settings that a resumed run may change: what was done so far does not depend on them."""


class RoundFolders:
    """One run's rounds.

    Parameters
    ----------
    path : Path
        Made if missing.
    method : str
    config : ImproveConfig

    Raises
    ------
    ConfigError
        If the folder holds another run; see `RunDirectory.claim`.
    """

    def __init__(self, path: Path, method: str, config: ImproveConfig) -> None:
        self.path, self.method, self.config = path, method, config
        self.run = RunDirectory(path, f"improve {method}", config, FREE)
        self.run.claim(begun=bool(self.records()))
        for unfinished in path.glob("round-*.part"):
            shutil.rmtree(unfinished)
        self.run.replace_records(self.records())

    def folder(self, number: int) -> Path:
        """Return a finished round's folder."""
        return self.path / f"round-{number:03d}"

    def checkpoint(self, number: int) -> str:
        """Return the name of the checkpoint that a finished round left."""
        return str(self.folder(number) / MODEL)

    def records(self) -> list[Record]:
        """Return the records of the finished rounds, in order, up to the first that is missing."""
        found: list[Record] = []
        while (file := self.folder(len(found)) / RECORD).exists():
            found.append(json.loads(file.read_text()))
        return found

    def begin(self, number: int) -> Path:
        """Make the folder in which a round is made."""
        part = self._part(number)
        part.mkdir()
        return part

    def finish(self, number: int, model: ProposerModel, record: Mapping[str, Any]) -> None:
        """Write a round's checkpoint and record, and make it count: all at once, by renaming its folder."""
        part, facts = self._part(number), {"initial": self.config.initial}
        self.run.write_checkpoint(part / MODEL, model, f"{self.method}-{number}", facts, record)
        replace_file(part / RECORD, json.dumps(record, indent=1) + "\n")
        os.replace(part, self.folder(number))
        self.run.replace_records(self.records())

    def keep_best(self, number: int) -> None:
        """Copy a round's checkpoint to ``model/``."""
        self.run.keep(self.folder(number) / MODEL)

    def _part(self, number: int) -> Path:
        return self.path / f"round-{number:03d}.part"
