"""Frames from recordings: indexes, the dataset, the sampler and the pipeline's transforms."""

from . import transforms
from .index import INDEX_VERSION, Index, read_index, write_index
from .map_dataset import MapDataset
from .pose_dataset import PoseDataset
from .sampler import ResumableSampler

__all__ = [
    "INDEX_VERSION",
    "Index",
    "MapDataset",
    "PoseDataset",
    "ResumableSampler",
    "read_index",
    "transforms",
    "write_index",
]
