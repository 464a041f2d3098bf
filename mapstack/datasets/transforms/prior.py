"""Priors of a frame, cut from their maps at the pose that is believed; and poses that are believed wrongly."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.gnss import GnssNoise, apply_gnss_errors, draw_gnss_errors
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.se3 import make_transform, planar_pose, rotation_z
from mapstack.maps.prior_lines import PriorLines, PriorPatch
from mapstack.registry import TRANSFORMS
from mapstack.structures import PriorMap

from .randomness import frame_generator
from .truth import NO_AUGMENTATION

__all__ = ["DisturbPose", "LoadPriors"]

NS_PER_S = 1e9


@TRANSFORMS.register_module()
class DisturbPose:
    """Note the pose that a satellite receiver would report; priors are placed by it, truth and sensors are not.

    Adds ``reported_world_from_ego`` (4, 4) and ``pose_error`` (3,): x and y metres in world axes, yaw radians. The bias
    walks over a drive: all frames of a scene share one draw, whoever loads them and in whatever order. It must stand
    after SetOrigin.

    Args:
        sigma_m: standard deviation along each axis.
        heading_deg: standard deviation of the heading.
        white_share: part of the variance that is new at every frame.
        relaxation_s: time in which the bias forgets.
        seed: another seed is another receiver.
        redraw: for training on single frames: another drive's errors every time that a frame is loaded.
    """

    def __init__(
        self,
        sigma_m: float,
        heading_deg: float,
        white_share: float = 0.1,
        relaxation_s: float = 60.0,
        seed: int = 0,
        redraw: bool = False,
    ) -> None:
        self.noise = GnssNoise.stationary(sigma_m, heading_deg, white_share, relaxation_s)
        self.seed, self.redraw = seed, redraw

    def __call__(self, results: dict) -> dict:
        """Disturb the pose."""
        if "prior" in results:
            raise ConfigError("DisturbPose must stand before LoadPriors in the pipeline")
        if self.redraw:
            times, at, generator = np.zeros(1), 0, frame_generator(results, self)
        else:
            times = (results["scene_times_ns"] - results["scene_times_ns"][0]) / NS_PER_S
            at = int(np.searchsorted(results["scene_times_ns"], results["timestamp_ns"]))
            generator = np.random.default_rng((self.seed, zlib.crc32(results["scene"].encode())))
        error = draw_gnss_errors(times, self.noise, generator)[at]
        results["pose_error"] = error
        results["reported_world_from_ego"] = apply_gnss_errors(results["world_from_ego"][None], error[None])[0]
        return results


@TRANSFORMS.register_module()
class LoadPriors:
    """Cut any number of prior maps to the frame's patch.

    Adds ``prior`` (:class:`PriorMap`). Each prior may be missing for a frame, hold nothing there, or thousands of
    elements. They are placed by ``reported_world_from_ego`` where DisturbPose noted one, and follow AugmentBEV.

    Args:
        priors: configs of :class:`StreetPrior`, :class:`HDMapPrior`, :class:`DrivePrior`, each with its own name.
        grid: keyword arguments of :class:`BEVGrid`; its range is the patch.
        num_points: P, points of an element.
        num_dims: 2, or 3 to keep heights where a source has them.
        margin_m: the patch is larger by this on every side, up to whole cells, for poses that are corrected later.
        drop_prob: chance that a prior is missing for a frame (of each alone): training without belief in it.
        displace_m: the prior of another place: the pose is moved so far along the world's x and y before the cut.
    """

    def __init__(
        self,
        priors: Sequence[dict],
        grid: dict,
        num_points: int = 20,
        num_dims: int = 2,
        margin_m: float = 0.0,
        drop_prob: float = 0.0,
        displace_m: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.priors = [TRANSFORMS.build(prior) if isinstance(prior, dict) else prior for prior in priors]
        names = [prior.name for prior in self.priors]
        if len(set(names)) < len(names):
            raise ConfigError(f"priors must have different names, got {names}; set name=")
        if num_dims not in (2, 3) or not 0 <= drop_prob <= 1 or margin_m < 0:
            raise ConfigError(f"num_dims {num_dims} must be 2 or 3, drop_prob {drop_prob} in [0, 1], margin_m >= 0")
        self.grid = BEVGrid(**grid)
        if margin_m:
            x0, y0, z0, x1, y1, z1 = self.grid.pc_range
            margin_m = math.ceil(margin_m / self.grid.cell_m) * self.grid.cell_m
            ranged = (x0 - margin_m, y0 - margin_m, z0, x1 + margin_m, y1 + margin_m, z1)
            self.grid = BEVGrid(ranged, self.grid.cell_m)
        self.num_points, self.num_dims, self.drop_prob, self.displace_m = num_points, num_dims, drop_prob, displace_m

    def __call__(self, results: dict) -> dict:
        """Cut, mirror, resample."""
        augmentation = results.get("bev_augmentation", NO_AUGMENTATION)
        scale = augmentation["scale"]
        pose = planar_pose(results.get("reported_world_from_ego", results["world_from_ego"]))
        pose[:2, 3] += self.displace_m
        pose = pose @ make_transform(rotation_z(-augmentation["yaw_rad"]), np.zeros(3))
        grid = self.grid
        if scale != 1.0:
            grid = BEVGrid(tuple(value / scale for value in grid.pc_range), grid.cell_m / scale)
        dropped = frame_generator(results, self).random(len(self.priors)) < self.drop_prob if self.drop_prob else None
        patches = []
        for number, prior in enumerate(self.priors):
            lines = None if dropped is not None and dropped[number] else prior.lines(results, pose, grid.box_xy)
            if lines is not None:
                self._check_place(lines, prior.max_distance_m, pose, results["token"])
                patch = _mirrored(lines.crop(pose, grid), augmentation["reflect"], scale)
                patches.append((prior.name, prior.source, patch))
        results["prior"] = PriorMap.from_patches(patches, self.num_points, self.num_dims)
        return results

    def _check_place(self, lines: PriorLines, limit_m: float | None, pose: NDArray, token: str) -> None:
        if limit_m is None or not len(lines) or any(self.displace_m):
            return
        try:
            lines.require_near(pose[None, :2, 3], limit_m)
        except DataError as error:
            raise DataError(f"frame {token}: {error}; or set max_distance_m=None") from error


def _mirrored(patch: PriorPatch, reflect: NDArray, scale: float) -> PriorPatch:
    """Mirror and scale; a single mirror reverses undirected elements, so that rings keep their sense of turning."""
    if scale == 1.0 and (reflect == 1.0).all():
        return patch
    factor = scale * np.array([*reflect, 1.0])
    turn = reflect.prod() < 0
    vertices = [
        (line * factor[: line.shape[1]])[:: -1 if turn and not directed else 1]
        for line, directed in zip(patch.vertices, patch.directed, strict=True)
    ]
    return replace(patch, vertices=vertices)
