"""The model and its parts, all built from MODELS and TASK_UTILS by configuration."""

from .auxiliary import BEVSegmentation
from .bev_encoder import BEVUNet
from .camera.backbone import TimmBackbone
from .camera.bev_queries import BEVFormerEncoder, GKTEncoder
from .camera.ipm import IPMEncoder
from .camera.lss import LSSEncoder
from .camera.neck import FeaturePyramid, MergedPyramid, TopDownNeck
from .decoders import MapTRDecoder
from .decoders.vectormapnet import GlobalContext, KeypointMatcher, LocalContext, VectorMapNetDecoder
from .fusion.concat import ConcatFusion
from .lidar.pillars import DynamicPillars
from .lidar.point_pillars import PointPillars
from .mapper import Mapper
from .matching import PolylineMatcher
from .pose import MapNet, MapNetLoss, PoseCorrection, PoseHead
from .preprocessor import MapDataPreprocessor

__all__ = [
    "BEVFormerEncoder",
    "BEVSegmentation",
    "BEVUNet",
    "ConcatFusion",
    "DynamicPillars",
    "FeaturePyramid",
    "GKTEncoder",
    "GlobalContext",
    "IPMEncoder",
    "KeypointMatcher",
    "LSSEncoder",
    "LocalContext",
    "MapDataPreprocessor",
    "MapNet",
    "MapNetLoss",
    "MapTRDecoder",
    "Mapper",
    "MergedPyramid",
    "PointPillars",
    "PolylineMatcher",
    "PoseCorrection",
    "PoseHead",
    "TimmBackbone",
    "TopDownNeck",
    "VectorMapNetDecoder",
]
