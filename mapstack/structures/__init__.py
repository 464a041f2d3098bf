"""The contract between dataset, model and metric."""

from .map_data_sample import MapDataSample, MapElements
from .pose_data_sample import PoseDataSample
from .prior_map import PriorBatch, PriorMap, batch_priors

__all__ = ["MapDataSample", "MapElements", "PoseDataSample", "PriorBatch", "PriorMap", "batch_priors"]
