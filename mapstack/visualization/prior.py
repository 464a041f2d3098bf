"""Priors from above and in the camera images, over the HD map that they should agree with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import VectorMap
from mapstack.maps.prior_lines import PRIOR_CLASSES, PriorLines, PriorPatch

from .bev import BEVPanel, draw_bev
from .camera import CameraView
from .drawn_map import DrawnMap
from .frame import camera_mosaic

__all__ = ["drawn_prior", "draw_placement", "draw_prior_views"]

STREET = "street"
GROUND = ("boundary", "divider")


def drawn_prior(patch: PriorPatch) -> DrawnMap:
    """A prior's patch as the drawing functions take it, with the classes that are in it."""
    present = sorted(set(patch.labels.tolist()))
    labels = np.searchsorted(present, patch.labels).astype(np.int64)
    return DrawnMap(patch.vertices, labels, tuple(PRIOR_CLASSES[label] for label in present))


def draw_placement(vector_map: VectorMap, streets: PriorLines, track: NDArray, grid: BEVGrid, title: str) -> NDArray:
    """Streets and the ego track over boundaries and dividers of the HD map, around the middle of the track.

    Args:
        vector_map: the HD map.
        streets: of the street map.
        track: (M, >= 2) places of the ego vehicle, world metres; from first to last is to the right.
        grid: its range is the picture's.
        title: shown above.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    track = np.asarray(track, float)[:, :2]
    ahead = track[-1] - track[0]
    world_from_ego = make_transform(rotation_z(float(np.arctan2(ahead[1], ahead[0]))), np.zeros(3))
    world_from_ego[:2, 3] = track[len(track) // 2]
    ground = vector_map.crop(world_from_ego, grid, classes=GROUND, divider_rule="painted")
    patch = streets.crop(world_from_ego, grid)
    driven = (track - world_from_ego[:2, 3]) @ world_from_ego[:2, :2]
    lines = [*ground.vertices, *patch.vertices, driven]
    labels = np.concatenate([ground.labels, np.full(len(patch), len(GROUND)), [len(GROUND) + 1]]).astype(np.int64)
    drawn = DrawnMap(lines, labels, (*GROUND, STREET, "ego track"))
    return draw_bev(grid, [BEVPanel(title, drawn)], panel_width_px=1400)


def draw_prior_views(
    views: Sequence[CameraView], prior: PriorLines, world_from_ego: NDArray, grid: BEVGrid, height_m: float = 0.0
) -> NDArray:
    """A prior's elements in all cameras of a frame, as lines on the ground.

    Args:
        views: of the frame.
        prior: 2-D.
        world_from_ego: (4, 4) of the frame.
        grid: elements outside of its range are left out.
        height_m: of the ground in the ego frame.
    """
    return camera_mosaic(views, drawn_prior(prior.crop(world_from_ego, grid)), height_m=height_m)
