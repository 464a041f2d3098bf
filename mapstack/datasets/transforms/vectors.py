"""Vectors without sensors: cut from a map at a place, spoilt in part, packed for a model that restores them."""

from dataclasses import replace

import numpy as np
import torch

from mapstack.errors import ConfigError
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.registry import TRANSFORMS
from mapstack.structures import PriorMap
from mapstack.structures.vector_data_sample import SPOILT, VectorDataSample

from .randomness import frame_generator

__all__ = ["CropVectors", "PackVectors", "SpoilVectors"]


@TRANSFORMS.register_module()
class CropVectors:
    """Cut the map that :class:`VectorCrops` named to the patch of its place; adds ``prior`` (:class:`PriorMap`).

    Args:
        grid: keyword arguments of :class:`BEVGrid`; its range is the patch.
        num_points: P, points of a vector.
        turn_deg: the heading is turned by up to so much to either side.
        shift_m: the place is shifted by up to so much along each axis.
    """

    def __init__(self, grid: dict, num_points: int = 20, turn_deg: float = 0.0, shift_m: float = 0.0) -> None:
        self.grid, self.num_points, self.turn_deg, self.shift_m = BEVGrid(**grid), num_points, turn_deg, shift_m

    def __call__(self, results: dict) -> dict:
        """Cut and resample."""
        pose = results["world_from_ego"]
        if self.turn_deg or self.shift_m:
            generator = frame_generator(results, self)
            turn = np.deg2rad(generator.uniform(-self.turn_deg, self.turn_deg))
            shift = np.array([*generator.uniform(-self.shift_m, self.shift_m, 2), 0.0])
            pose = pose @ make_transform(rotation_z(turn), shift)
        lines = results["prior_lines"]
        patch = lines.crop(pose, self.grid)
        results["prior"] = PriorMap.from_patches([(lines.name, results["prior_source"], patch)], self.num_points)
        return results


@TRANSFORMS.register_module()
class SpoilVectors:
    """Hide or move whole vectors and single points, as PriorDrive's pre-training does (AAAI 2026, section 3.5).

    Hiding replaces a point's coordinates by a learned token in the model (the paper writes -1, which is a place, too).
    Adds ``given`` and ``spoilt`` as :class:`VectorDataSample` has them.

    Args:
        vector_share: of vectors that are hidden or moved whole.
        point_share: of the points of the others.
        hide_share: of what is spoilt that is hidden; the rest is moved.
        noise_m: standard deviation of a moved point along each axis.
        max_vectors: a random choice of so many is kept of a place that has more.
    """

    def __init__(
        self,
        vector_share: float = 0.10,
        point_share: float = 0.05,
        hide_share: float = 0.5,
        noise_m: float = 1.0,
        max_vectors: int = 60,
    ) -> None:
        if not all(0 <= share <= 1 for share in (vector_share, point_share, hide_share)):
            raise ConfigError(f"shares must lie in [0, 1], got {vector_share}, {point_share}, {hide_share}")
        self.vector_share, self.point_share, self.hide_share = vector_share, point_share, hide_share
        self.noise_m, self.max_vectors = noise_m, max_vectors

    def __call__(self, results: dict) -> dict:
        """Draw what is spoilt from the frame's seed."""
        generator, prior = frame_generator(results, self), results["prior"]
        if len(prior) > self.max_vectors:
            kept = np.sort(generator.choice(len(prior), self.max_vectors, replace=False))
            prior = prior.take(torch.from_numpy(kept))
        shape = tuple(prior.points.shape[:2])
        whole = np.broadcast_to(generator.random(shape[0])[:, None] < self.vector_share, shape)
        hidden = np.where(whole, generator.random(shape[0])[:, None], generator.random(shape)) < self.hide_share
        single = ~whole & (generator.random(shape) < self.point_share)
        spoilt = np.select(
            [whole & hidden, whole, single & hidden, single],
            [SPOILT.index(name) for name in ("vector_hidden", "vector_moved", "point_hidden", "point_moved")],
        )
        moved = np.isin(spoilt, [SPOILT.index("vector_moved"), SPOILT.index("point_moved")])
        noise = self.noise_m * generator.standard_normal((*shape, 2)) * moved[..., None]
        points = prior.points[..., :2]
        results["prior"] = replace(prior, points=points)
        results["given"] = points + torch.from_numpy(noise.astype(np.float32))
        results["spoilt"] = torch.from_numpy(spoilt.astype(np.int64))
        return results


@TRANSFORMS.register_module()
class PackVectors:
    """Make ``{"inputs": {"prior": ...}, "data_samples": VectorDataSample}``; the prior's points are those ``given``."""

    def __call__(self, results: dict) -> dict:
        """Pack a place."""
        prior = results["prior"]
        sample = VectorDataSample(metainfo={"token": results["token"]})
        sample.points, sample.given, sample.spoilt = prior.points, results["given"], results["spoilt"]
        return {"inputs": {"prior": replace(prior, points=results["given"])}, "data_samples": sample}
