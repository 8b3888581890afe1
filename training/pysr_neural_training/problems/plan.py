"""What a dataset is to be: its size, split, seed and prior.

Owns: `Plan`, its checks, the random streams that follow from it, the manifest.  Does not own: shards (`shards`), the
work (`generate`).

A shard's stream depends on the plan as a whole and on the shard's number.  So the streams of two datasets that differ
in anything have nothing in common: a bigger dataset, or another split, does not begin with a smaller one.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import pysr_neural
from pysr_neural.errors import ConfigError, DatasetError, did_you_mean
from pysr_neural.rng import generator
from pysr_neural.trace.io import write_file
from pysr_neural.wire.vocabulary import VOCABULARY_HASH
from pysr_neural_training.problems.priors import ProblemPrior

DATASET_VERSION = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "held-out")


@dataclass(frozen=True)
class Plan:
    """What a dataset is to be.

    Parameters
    ----------
    count : int
        Problems in all.
    shards : int
        Files that they are divided among, as evenly as can be.
    seed : int
    split : {"train", "held-out"}
    copies : int
        Most problems of one canonical fingerprint in the whole dataset; they differ in constants and data.
    prior : ProblemPrior

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    count: int = 10_000
    shards: int = 8
    seed: int = 0
    split: str = "train"
    copies: int = 1
    prior: ProblemPrior = field(default_factory=ProblemPrior)

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= self.count:
            raise ConfigError(
                f"A dataset must hold 1 ≤ shards ≤ count, so that no shard is empty; got {self.shards} shards of "
                f"{self.count} problems."
            )
        if self.seed < 0 or self.copies < 1:
            raise ConfigError(f"seed must be at least 0, copies at least 1; got {self.seed} and {self.copies}.")
        if self.split not in SPLITS:
            raise ConfigError(f"split must be one of {SPLITS}; got {self.split!r}." + did_you_mean(self.split, SPLITS))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that stand for the whole plan."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def size_of(self, shard: int) -> int:
        """Return the number of problems of a shard."""
        return self.count // self.shards + (shard < self.count % self.shards)

    def stream(self, shard: int) -> np.random.Generator:
        """Return the generator of a shard, at its beginning."""
        return generator(self.seed, "dataset", int(self.digest[:8], 16), shard)


def write_manifest(folder: Path, plan: Plan, command: str) -> None:
    """Write the manifest, or check that the folder's is of the same plan.

    Raises
    ------
    ConfigError
        If the folder holds another dataset, or other files.
    DatasetError
        If it cannot be written.
    """
    path = folder / MANIFEST
    if path.exists():
        known = read_manifest(folder)
        for key, value in json.loads(json.dumps(asdict(plan))).items():
            if known["plan"].get(key) != value:
                raise ConfigError(
                    f"A dataset is continued with the settings that it was begun with; {folder} has {key} = "
                    f"{known['plan'].get(key)!r}, got {value!r}. Choose another folder, or the same settings."
                )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"A new dataset needs an empty folder; {folder} holds other files. Choose another one.")
    manifest = {
        "version": DATASET_VERSION,
        "vocabulary_hash": VOCABULARY_HASH,
        "digest": plan.digest,
        "command": command,
        "plan": asdict(plan),
        "versions": {
            "pysr_neural": pysr_neural.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "pyarrow")},
        },
    }
    write_file(path, (json.dumps(manifest, indent=1) + "\n").encode(), "dataset", DatasetError)


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """Read a dataset's manifest.

    Raises
    ------
    DatasetError
        If there is none, or it is of another version or another vocabulary.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found, vocabulary, _, _ = (manifest[key] for key in ("version", "vocabulary_hash", "digest", "plan"))
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DatasetError(
            f"A dataset must have a readable {MANIFEST}; {folder} has none: {error!r}. Make one with "
            "`pysr-neural data generate --out FOLDER`."
        ) from error
    if found != DATASET_VERSION:
        raise DatasetError(
            f"A dataset must be of version {DATASET_VERSION}; {folder} is of version {found}. Generate it again."
        )
    if vocabulary != VOCABULARY_HASH:
        raise DatasetError(
            f"A dataset must be of this release's vocabulary, {VOCABULARY_HASH}; {folder} is of {vocabulary}. Generate "
            "it again, or use the release that made it."
        )
    return manifest
