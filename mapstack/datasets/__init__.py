"""Frames from recordings: indexes, the dataset, the samplers and the pipeline's transforms."""

from . import transforms
from .index import INDEX_VERSION, Index, read_index, write_index
from .map_dataset import MapDataset
from .pose_dataset import PoseDataset
from .sampler import ClipSampler, ResumableSampler
from .vector_crops import VectorCrops

__all__ = [
    "ClipSampler",
    "INDEX_VERSION",
    "Index",
    "MapDataset",
    "PoseDataset",
    "ResumableSampler",
    "VectorCrops",
    "read_index",
    "transforms",
    "write_index",
]
