"""The contract between dataset, model and metric."""

from .map_data_sample import MapDataSample, MapElements
from .pose_data_sample import PoseDataSample

__all__ = ["MapDataSample", "MapElements", "PoseDataSample"]
