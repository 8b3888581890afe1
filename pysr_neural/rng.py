"""Random generators: always explicit, always derived from a seed and a name; global state is never touched."""

import zlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Make the generator of one named purpose.

    Parameters
    ----------
    seed : int
        The run's seed, not negative.
    *names : str or int
        What the stream is for, such as ``("train", shard)``; other names give statistically independent streams.

    Returns
    -------
    numpy.random.Generator
    """
    words = [zlib.crc32(name.encode()) if isinstance(name, str) else int(name) for name in names]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(words)))
