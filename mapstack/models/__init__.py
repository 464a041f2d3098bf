"""The model and its parts, all built from MODELS and TASK_UTILS by configuration."""

from .auxiliary import BEVSegmentation
from .bev_encoder import BEVUNet
from .camera.backbone import TimmBackbone
from .camera.lss import LSSEncoder
from .decoders import MapTRDecoder
from .fusion.concat import ConcatFusion
from .lidar.pillars import DynamicPillars
from .lidar.point_pillars import PointPillars
from .mapper import Mapper
from .matching import PolylineMatcher
from .preprocessor import MapDataPreprocessor

__all__ = [
    "BEVSegmentation",
    "BEVUNet",
    "ConcatFusion",
    "DynamicPillars",
    "LSSEncoder",
    "MapDataPreprocessor",
    "MapTRDecoder",
    "Mapper",
    "PointPillars",
    "PolylineMatcher",
    "TimmBackbone",
]
