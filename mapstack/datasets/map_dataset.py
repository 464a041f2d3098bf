"""The dataset: frames that an index lists, each loaded by the pipeline, none ever replaced by another."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from mmengine.dataset import BaseDataset

from mapstack.datasets.index import Index, read_index
from mapstack.datasets.transforms import VectorizeMap
from mapstack.errors import DataError
from mapstack.registry import DATASETS, TRANSFORMS

__all__ = ["MapDataset", "sample_seed"]


@DATASETS.register_module()
class MapDataset(BaseDataset):
    """Frames listed by an index that ``tools/prepare_*.py`` wrote.

    The pipeline gets a dict with the index's columns (matrices as float64 arrays, file paths absolute) and
    ``seed``, from which alone every random transform draws. A frame that cannot be loaded raises with its token.

    Args:
        ann_file: the index, Parquet.
        pipeline: transforms, the last of which packs.
        data_root: folder that the paths in the index are relative to; None for the one that the index names.
        test_mode: as MMEngine has it; nothing here depends on it.
        indices: keep only the first so many frames, or those rows.
        seed: of the augmentation when frames are asked for by a plain int.
        lazy_init: leave the index unread until ``full_init``.
        metainfo: as MMEngine has it; ``classes`` comes from the pipeline's VectorizeMap.
    """

    METAINFO: ClassVar[dict] = {}

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable] = (),
        data_root: str | None = None,
        *,
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        seed: int = 0,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ) -> None:
        self._index_root = data_root
        self._seed = seed
        self._index: Index | None = None
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            # built here, in our registry, so that a dataset works outside a Runner and its default scope, too
            pipeline=[TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline],
            serialize_data=False,  # the rows stay in Arrow, which forked workers share; MMEngine would pickle them
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )
        for transform in self.pipeline.transforms:
            if isinstance(transform, VectorizeMap):  # the metric asks the dataset for its class names
                self._metainfo.setdefault("classes", transform.classes)

    def _join_prefix(self) -> None:
        """Leave ``ann_file`` as it is: the data root is for the files that the index names."""

    @property
    def index(self) -> Index:
        """The index, read on first use."""
        if self._index is None:
            self._index = read_index(self.ann_file, self._index_root)
        return self._index

    def load_data_list(self) -> list[dict]:
        """List row and token of every frame; :meth:`get_data_info` decodes the rest when it is asked for."""
        return [{"row": row, "token": token} for row, token in enumerate(self.index.column("token"))]

    @property
    def tokens(self) -> list[str]:
        """Token of each frame, in the dataset's order."""
        self.full_init()
        return [item["token"] for item in self.data_list]

    @property
    def scenes(self) -> list[str]:
        """Scene of each frame, in the dataset's order."""
        self.full_init()
        scenes = self.index.column("scene")
        return [scenes[item["row"]] for item in self.data_list]

    @cached_property
    def _scene_times_ns(self) -> dict[str, np.ndarray]:
        """Scene -> (T,) int64, times of all its frames in the index, ascending."""
        times: dict[str, list[int]] = {}
        for scene, time in zip(self.index.column("scene"), self.index.column("timestamp_ns"), strict=True):
            times.setdefault(scene, []).append(time)
        return {scene: np.sort(np.array(row, np.int64)) for scene, row in times.items()}

    def get_data_info(self, idx: int) -> dict:
        """Return one frame with absolute paths and the times of its scene's frames, before the pipeline.

        Raises:
            DataError: the row does not hold the token that was asked for.
        """
        self.full_init()
        wanted = self.data_list[idx]
        frame = self.index.frame(wanted["row"])
        if frame["token"] != wanted["token"]:
            raise DataError(f"{self.ann_file}: asked for {wanted['token']}, row {wanted['row']} has {frame['token']}")
        root = self.index.data_root
        for item in (*frame["cameras"], *([frame["lidar"], *frame["lidar"]["sweeps"]] if frame["lidar"] else [])):
            item["path"] = os.path.join(root, item["path"])
        if frame["map_kind"] is not None:
            frame["map_root"] = os.path.normpath(os.path.join(root, frame["map_root"]))
        frame["sample_idx"] = idx
        frame["scene_times_ns"] = self._scene_times_ns[frame["scene"]]
        return frame

    def __getitem__(self, idx: int | tuple[int, int]) -> dict:
        """Load a frame: ``idx`` is its place, or (place, seed) as :class:`ResumableSampler` gives.

        Raises:
            DataError: the pipeline returned nothing, or another frame than the one asked for.
        """
        self.full_init()
        place, seed = idx if isinstance(idx, tuple) else (idx, sample_seed(self._seed, 0, int(idx)))
        frame = self.get_data_info(int(place))
        frame["seed"] = int(seed)
        token = frame["token"]
        packed = self.pipeline(frame)
        if packed is None:
            raise DataError(f"{token}: the pipeline returned nothing; a transform must raise, not drop a frame")
        sample = packed.get("data_samples")
        loaded = packed.get("token") if sample is None else sample.token
        if loaded != token:
            raise DataError(f"asked for {token}, the pipeline returned {loaded}")
        return packed


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Seed of one frame's augmentation in one epoch: depends on nothing but these three."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))
