"""One LiDAR sweep, cast against the ground, the kerbs' faces and the boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import BODY, BUILDING, CABIN, CROWN, HEDGE, POLE, Boxes
from .ground import KERB_M, REFLECT_GRASS, REFLECT_KERB, Ground
from .rig import LidarModel

__all__ = ["Sweep", "cast"]

NEAREST_M = 1.2
KERB_STEPS = 6  # halvings that find where a ray meets a kerb's face
REFLECTANCE = {BUILDING: 34.0, HEDGE: 18.0, POLE: 42.0, CROWN: 16.0, BODY: 38.0, CABIN: 8.0}
LOST = {CROWN: 0.35, CABIN: 0.55, HEDGE: 0.1}  # share of rays that pass through or leave no echo
FADE_M = 85.0


@dataclass(frozen=True)
class Sweep:
    """Returns of one turn, azimuth by azimuth.

    Args:
        points: (M, 3) metres in the LiDAR's frame.
        intensity: (M,) in [0, 255].
        ring: (M,) int.
        azimuth: (M,) int, which firing.
        owner: (M,) vehicle that was hit, -1 for anything else.
    """

    points: NDArray
    intensity: NDArray
    ring: NDArray
    azimuth: NDArray
    owner: NDArray


def cast(model: LidarModel, world_from_lidar: NDArray, ground: Ground, boxes: Boxes, rng: np.random.Generator) -> Sweep:
    """Turn the laser once at one place."""
    num_azimuths, num_rings = model.num_azimuths, len(model.elevations_rad)
    azimuth = -2.0 * np.pi * (np.arange(num_azimuths) + rng.random()) / num_azimuths  # clockwise, as the real one
    flat, up = np.cos(model.elevations_rad), np.sin(model.elevations_rad)
    rays = np.empty((num_azimuths, num_rings, 3))
    rays[..., 0] = np.cos(azimuth)[:, None] * flat
    rays[..., 1] = np.sin(azimuth)[:, None] * flat
    rays[..., 2] = up
    rays = rays.reshape(-1, 3)
    eye = world_from_lidar[:3, 3]
    world_rays = rays @ world_from_lidar[:3, :3].T
    distance, reflectance = _hit_ground(ground, eye, world_rays, model.range_m)
    owner = np.full(len(rays), -1)
    near = boxes[np.linalg.norm(boxes.center - eye[:2], axis=1) < model.range_m + np.linalg.norm(boxes.half, axis=1)]
    ray, at, which = _hit_boxes(near, eye, world_rays.reshape(num_azimuths, num_rings, 3), rng)
    if len(ray):
        np.minimum.at(distance, ray, at)
        first = at <= distance[ray]
        ray, which = ray[first], which[first]
        echo = np.array([REFLECTANCE[kind] for kind in range(len(REFLECTANCE))])
        brightness = 0.6 + near.color.mean(1)[which] / 255.0
        reflectance[ray], owner[ray] = echo[near.kind[which]] * brightness, near.owner[which]
    return _measure(model, rays, distance, reflectance, owner, rng)


def _measure(
    model: LidarModel,
    rays: NDArray,
    distance: NDArray,
    reflectance: NDArray,
    owner: NDArray,
    rng: np.random.Generator,
) -> Sweep:
    """Lose some returns, blur the ranges, and turn reflectance into intensity."""
    count = len(rays)
    intensity = reflectance * np.exp(-distance / FADE_M) * rng.uniform(0.7, 1.3, count) + rng.normal(0.0, 1.5, count)
    faint = np.clip(distance / model.range_m, 0.0, 1.0) ** 3 * np.exp(-reflectance / 22.0)
    kept = (distance < model.range_m) & (distance > NEAREST_M) & (rng.random(count) > model.dropout + 0.85 * faint)
    index = np.flatnonzero(kept)
    measured = distance[index] + rng.normal(0.0, model.noise_m, len(index))
    return Sweep(
        points=rays[index] * measured[:, None],
        intensity=np.clip(np.round(intensity[index]), 0, 255),
        ring=index % len(model.elevations_rad),
        azimuth=index // len(model.elevations_rad),
        owner=owner[index],
    )


def _lookup(ground: Ground, points: NDArray) -> tuple[NDArray, NDArray]:
    """Whether (M, 2) places are raised, and their reflectance; raised grass outside the raster."""
    pixel = np.floor((points - ground.canvas.origin) / ground.canvas.resolution_m).astype(np.int64)
    rows, columns = ground.canvas.shape
    inside = (pixel >= 0).all(1) & (pixel[:, 0] < columns) & (pixel[:, 1] < rows)
    flat = np.where(inside, pixel[:, 1] * columns + pixel[:, 0], 0)
    raised = np.where(inside, ground.levels[0].reshape(-1, 4)[flat, 3] > 127, True)
    return raised, np.where(inside, ground.reflectance.reshape(-1)[flat], REFLECT_GRASS).astype(float)


def _hit_ground(ground: Ground, eye: NDArray, rays: NDArray, range_m: float) -> tuple[NDArray, NDArray]:
    """Distance and reflectance of the ground along every ray; inf where there is none in range."""
    distance, reflectance = np.full(len(rays), np.inf), np.zeros(len(rays))
    index = np.flatnonzero(rays[:, 2] < -eye[2] / (range_m + 2.0))
    down = rays[index]
    road_at, top_at = -eye[2] / down[:, 2], (KERB_M - eye[2]) / down[:, 2]
    is_top, top_echo = _lookup(ground, eye[:2] + down[:, :2] * top_at[:, None])
    is_beneath, road_echo = _lookup(ground, eye[:2] + down[:, :2] * road_at[:, None])
    at = np.where(is_top, top_at, road_at)
    echo = np.where(is_top, top_echo, road_echo)
    face = np.flatnonzero(~is_top & is_beneath)
    low, high = top_at[face], road_at[face]
    for _ in range(KERB_STEPS):
        middle = (low + high) / 2.0
        behind, _ = _lookup(ground, eye[:2] + down[face, :2] * middle[:, None])
        low, high = np.where(behind, low, middle), np.where(behind, middle, high)
    at[face], echo[face] = high, REFLECT_KERB
    distance[index], reflectance[index] = at, echo
    return distance, reflectance


def _columns(boxes: Boxes, eye: NDArray, headings: NDArray) -> tuple[NDArray, NDArray]:
    """Pairs (firing, box) in which a ray may meet the box; headings fall with the firing by equal steps."""
    count, step = len(headings), 2.0 * np.pi / len(headings)
    corners = boxes.corners() - eye[:2]
    angle = np.arctan2(corners[..., 1], corners[..., 0])
    middle = np.arctan2(*(boxes.center - eye[:2]).T[::-1])
    spread = (angle - middle[:, None] + np.pi) % (2 * np.pi) - np.pi
    first = np.floor((headings[0] - middle - spread.max(1)) / step).astype(int) - 1
    last = np.ceil((headings[0] - middle - spread.min(1)) / step).astype(int) + 1
    size = np.minimum(last - first + 1, count)
    box = np.repeat(np.arange(len(boxes)), size)
    offset = np.arange(len(box)) - np.repeat(np.cumsum(size) - size, size)
    return (first[box] + offset) % count, box


def _hit_boxes(boxes: Boxes, eye: NDArray, rays: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    """(ray, distance, box) of every meeting of a ray with a box that leaves an echo.

    Args:
        boxes: N boxes in reach.
        eye: (3,) the laser, world metres.
        rays: (A, L, 3) unit, world.
        rng: decides which rays pass through leaves and glass.
    """
    num_rings = rays.shape[1]
    column, box = _columns(boxes, eye, np.arctan2(rays[:, 0, 1], rays[:, 0, 0]))
    cos, sin = np.cos(boxes.yaw)[box][:, None], np.sin(boxes.yaw)[box][:, None]
    ray = rays[column]  # (P, L, 3)
    offset = (eye[:2] - boxes.center)[box]
    origin = offset[:, :1] * cos + offset[:, 1:] * sin, offset[:, 1:] * cos - offset[:, :1] * sin
    heading = ray[..., 0] * cos + ray[..., 1] * sin, ray[..., 1] * cos - ray[..., 0] * sin
    enter, leave = np.zeros(ray.shape[:2]), np.full(ray.shape[:2], np.inf)
    for axis in range(2):
        safe = np.where(np.abs(heading[axis]) < 1e-9, 1e-9, heading[axis])
        half = boxes.half[box, axis][:, None]
        a, b = (-half - origin[axis]) / safe, (half - origin[axis]) / safe
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    low, high = boxes.z[box, 0][:, None], boxes.z[box, 1][:, None]
    height = eye[2] + enter * ray[..., 2]
    roof = (high - eye[2]) / np.minimum(ray[..., 2], -1e-9)
    lands = (height > high) & (roof < leave) & (ray[..., 2] < 0.0)
    at = np.where(lands, roof, enter)
    met = (leave > enter) & (enter > 0.0) & (((height >= low) & (height <= high)) | lands)
    lost = np.array([LOST.get(kind, 0.0) for kind in range(len(REFLECTANCE))])[boxes.kind[box]]
    met &= rng.random(met.shape) >= lost[:, None]
    pair, ring = np.nonzero(met)
    return column[pair] * num_rings + ring, at[pair, ring], box[pair]
