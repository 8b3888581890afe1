"""Reading a dataset of problems: checked when it is opened, in an order of its own for each pass of training.

Owns: `Dataset`, the order of problems, batches of a dataset.  Does not own: one shard (`shards`), examples
(`pysr_neural_training.examples.build`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from pysr_neural.errors import DatasetError
from pysr_neural.rng import generator
from pysr_neural_training.problems.generate import GeneratedProblem
from pysr_neural_training.problems.plan import read_manifest
from pysr_neural_training.problems.shards import (
    REJECTED_KEY,
    CorruptShardError,
    check_shard,
    read_columns,
    read_metadata,
    read_shard,
    shard_path,
)

KEPT_SHARDS = 4
"""Shards that a reader keeps in memory."""


class Dataset:
    """Problems in a folder.

    Parameters
    ----------
    folder : Path
    skip_corrupt : bool
        Whether to leave out shards that are missing or not readable, all of which are then read once to find them;
        otherwise they are refused.

    Attributes
    ----------
    manifest : mapping
    split : str
        ``"train"`` or ``"held-out"``.
    sizes : dict of int to int
        Problems in each shard.
    skipped : list of str
        What was wrong with each shard that was left out.

    Raises
    ------
    DatasetError
        If there is no dataset, it is empty, of another version or vocabulary, mixed from several, or a shard of it is
        corrupt and is not to be skipped.
    """

    def __init__(self, folder: Path, skip_corrupt: bool = False) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.split: str = self.manifest["plan"]["split"]
        self.sizes: dict[int, int] = {}
        self.skipped: list[str] = []
        for shard in range(self.manifest["plan"]["shards"]):
            path = shard_path(folder, shard)
            try:
                size = check_shard(path, self.manifest["digest"])
                if skip_corrupt:
                    read_shard(path)
            except CorruptShardError as error:
                if not skip_corrupt:
                    raise
                self.skipped.append(str(error))
            else:
                self.sizes[shard] = size
        if not len(self):
            raise DatasetError(
                f"A dataset must hold at least one problem; {folder} holds none in {len(self.sizes)} readable shards. "
                "Run the command in its manifest again."
            )
        self._read = lru_cache(KEPT_SHARDS)(lambda shard: read_shard(shard_path(folder, shard)))

    def __len__(self) -> int:
        """Return the number of problems."""
        return sum(self.sizes.values())

    @cached_property
    def rejected(self) -> Counter[str]:
        """How many draws were rejected while it was made, by reason."""
        counts: Counter[str] = Counter()
        for shard in self.sizes:
            counts.update(json.loads(read_metadata(shard_path(self.folder, shard))[REJECTED_KEY]))
        return counts

    def fingerprints(self) -> list[str]:
        """Return the fingerprint of every problem."""
        return [
            print_
            for shard in self.sizes
            for print_ in read_columns(shard_path(self.folder, shard), ["fingerprint"])["fingerprint"]
        ]

    def __iter__(self) -> Iterator[GeneratedProblem]:
        """Iterate over all problems in the order in which they are stored."""
        for shard in self.sizes:
            yield from read_shard(shard_path(self.folder, shard))

    def stream(self, seed: int, number: int, size: int) -> Iterator[GeneratedProblem]:
        """Yield problems for one batch, without end.

        A pass through the dataset has as many batches as hold ``size`` problems or fewer.  Each pass has an order of
        its own.  The problems of a batch come from one shard, and have much the same number of points.  A batch that
        asks for more than ``size`` gets those of the batches after it.

        Parameters
        ----------
        seed : int
        number : int
            Of the batch; passes follow each other.
        size : int
        """
        batches = {shard: -(-count // size) for shard, count in self.sizes.items()}
        turn, place = divmod(number, sum(batches.values()))
        shards = generator(seed, "dataset order", turn).permutation(list(batches)).tolist()
        for shard in shards:
            if place < batches[shard]:
                break
            place -= batches[shard]
        problems, rng = self._read(shard), generator(seed, "dataset order", turn, shard)
        order = rng.permutation(len(problems))
        order = order[np.argsort([len(problems[i].problem.y) for i in order], kind="stable")]
        start = int(rng.permutation(batches[shard])[place]) * size
        while True:
            yield problems[order[start % len(order)]]
            start += 1


@lru_cache(2)
def training_dataset(folder: str, skip_corrupt: bool = False) -> Dataset:
    """Open a dataset to train on; the same object for the same folder.

    Raises
    ------
    DatasetError
        As `Dataset` does, and if the dataset is held out of training.
    """
    dataset = Dataset(Path(folder), skip_corrupt)
    if dataset.split != "train":
        raise DatasetError(f"Training must not see held-out problems; {folder} is of the split {dataset.split!r}.")
    return dataset
