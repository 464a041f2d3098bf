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
from .misalign import MisalignCameras
from .pack import PackMapInputs
from .poses import ChooseFrames, LoadTrajectories, PackPoses, SimulateGnss, SimulateOdometry
from .rings import DropRings
from .truth import DrawMap, VectorizeMap

__all__ = [
    "AugmentBEV",
    "ChooseFrames",
    "DrawMap",
    "DropRings",
    "DropSensors",
    "LidarDepth",
    "LoadImages",
    "LoadLidar",
    "LoseSensors",
    "MisalignCameras",
    "LoadTrajectories",
    "PackMapInputs",
    "PackPoses",
    "PhotometricJitter",
    "ResizeCropImages",
    "SetOrigin",
    "SimulateGnss",
    "SimulateOdometry",
    "VectorizeMap",
]
