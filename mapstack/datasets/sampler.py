"""Training samplers whose place in the data is one number: single frames, or clips of consecutive ones."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mapstack.datasets.map_dataset import MapDataset, sample_seed
from mapstack.errors import ConfigError
from mapstack.registry import DATA_SAMPLERS

__all__ = ["ClipSampler", "ResumableSampler"]


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Endless passes over the data, each shuffled from (seed, epoch), which a resumed run continues exactly.

    Position p of the stream is frame ``permutation(epoch = p // N)[p % N]``; rank r takes positions r, r + W, ...
    of W ranks. Each item is (index, sample_seed), so that a frame's augmentation does not depend on workers.

    Args:
        dataset: what is sampled; only its length counts.
        shuffle: False walks the frames in order, again and again.
        seed: None draws one that all ranks share (and that another run will not have).
        round_up: accepted because MMEngine's runner passes it; an endless stream has nothing to round.
    """

    def __init__(
        self, dataset: MapDataset, shuffle: bool = True, seed: int | None = None, round_up: bool = True
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        if self.size == 0:
            raise ConfigError("the training index holds no frame; print it with python -m mapstack.datasets.inspect")
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        self._start = 0

    def set_start(self, num_consumed_samples_per_rank: int) -> None:
        """Begin the next iteration after so many samples of this rank, loading none of them."""
        if num_consumed_samples_per_rank < 0:
            raise ValueError(f"cannot start before the first sample, got {num_consumed_samples_per_rank}")
        self._start = num_consumed_samples_per_rank

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (index, sample_seed) without end."""
        position = self._start * self.world_size + self.rank
        current, order = -1, np.zeros(0, dtype=np.int64)
        while True:
            epoch, offset = divmod(position, self.size)
            if epoch != current:
                current, order = epoch, self.permutation(epoch)
            index = int(order[offset])
            yield index, sample_seed(self.seed, epoch, index)
            position += self.world_size

    def permutation(self, epoch: int) -> np.ndarray:
        """(N,) int64, the order of one epoch."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def __len__(self) -> int:
        """Samples of this rank in one pass, rounded up."""
        return -(-self.size // self.world_size)


@DATA_SAMPLERS.register_module()
class ClipSampler(ResumableSampler):
    """As :class:`ResumableSampler` with clips in place of frames: ``clip_length`` consecutive frames of one scene.

    A pass visits every clip once, one beginning at each frame that enough others follow. The frames of a clip come one
    after the other and share a seed, so that they are augmented alike; the data loader's batch size must be a
    multiple of ``clip_length``. Testing needs no sampler of its own: an index lists a scene's frames in order.

    Args:
        dataset: what is sampled; its ``scenes`` tell which frames belong together.
        clip_length: frames of a clip.
        shuffle: False walks the clips in order, again and again.
        seed: None draws one that all ranks share (and that another run will not have).
        round_up: accepted because MMEngine's runner passes it; an endless stream has nothing to round.
    """

    def __init__(
        self,
        dataset: MapDataset,
        clip_length: int,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        super().__init__(dataset, shuffle, seed, round_up)
        if clip_length < 1:
            raise ConfigError(f"clip_length counts frames and must be at least 1, got {clip_length}")
        scenes, last = dataset.scenes, clip_length - 1
        self.clip_length = clip_length
        self.starts = [i for i in range(len(scenes) - last) if scenes[i] == scenes[i + last]]
        self.size = len(self.starts)
        if self.size == 0:
            raise ConfigError(f"no scene has {clip_length} frames; lower clip_length, or prepare more of the drives")

    def set_start(self, num_consumed_samples_per_rank: int) -> None:
        """Begin the next iteration after so many frames of this rank, loading none of them."""
        if num_consumed_samples_per_rank % self.clip_length:
            raise ConfigError(
                f"{num_consumed_samples_per_rank} frames are no whole number of clips of {self.clip_length}; set the "
                f"data loader's batch_size to a multiple of clip_length"
            )
        super().set_start(num_consumed_samples_per_rank // self.clip_length)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (index, sample_seed) without end."""
        for clip, seed in super().__iter__():
            start = self.starts[clip]
            yield from ((start + i, seed) for i in range(self.clip_length))

    def __len__(self) -> int:
        """Frames of this rank in one pass, rounded up."""
        return super().__len__() * self.clip_length
