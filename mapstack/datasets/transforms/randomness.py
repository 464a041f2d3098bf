"""Random numbers of a frame: from its seed and the transform's name, whatever ran before."""

import zlib

import numpy as np

from mapstack.errors import ConfigError

__all__ = ["frame_generator"]


def frame_generator(results: dict, transform: object) -> np.random.Generator:
    """Return a generator that depends on ``results["seed"]`` and the transform's class alone.

    So adding a transform, or its order, changes no other transform's draw.
    """
    name = type(transform).__name__
    if "seed" not in results:
        raise ConfigError(f"{name} draws random numbers and results has no seed; load frames through MapDataset")
    return np.random.default_rng((results["seed"], zlib.crc32(name.encode())))
