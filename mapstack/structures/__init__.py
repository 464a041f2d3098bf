"""The contract between dataset, model and metric."""

from .map_data_sample import MapDataSample, MapElements

__all__ = ["MapDataSample", "MapElements"]
