"""Pipeline steps, in the order a config lists them: augment, load, vectorize, draw, pack.

``AugmentBEV`` and ``SetOrigin`` come first: they only say how the ego frame is moved, and whatever is loaded after
them arrives in the moved frame.
"""

from .bev import AugmentBEV, SetOrigin
from .depth import LidarDepth
from .drop import DropSensors, LoseSensors
from .image import PhotometricJitter, ResizeCropImages
from .load_images import LoadImages
from .load_lidar import LoadLidar
from .misalign import MisalignSensor
from .pack import PackMapInputs
from .poses import ChooseFrames, LoadTrajectories, PackPoses, SimulateGnss, SimulateOdometry
from .prior import DisturbPose, LoadPriors
from .prior_sources import DrivePrior, HDMapPrior, StreetPrior
from .rings import DropRings
from .truth import DrawMap, VectorizeMap
from .vectors import CropVectors, PackVectors, SpoilVectors

__all__ = [
    "AugmentBEV",
    "ChooseFrames",
    "CropVectors",
    "DisturbPose",
    "DrawMap",
    "DrivePrior",
    "DropRings",
    "DropSensors",
    "HDMapPrior",
    "LidarDepth",
    "LoadImages",
    "LoadLidar",
    "LoadPriors",
    "LoadTrajectories",
    "LoseSensors",
    "MisalignSensor",
    "PackMapInputs",
    "PackPoses",
    "PackVectors",
    "PhotometricJitter",
    "ResizeCropImages",
    "SetOrigin",
    "SimulateGnss",
    "SimulateOdometry",
    "SpoilVectors",
    "StreetPrior",
    "VectorizeMap",
]
