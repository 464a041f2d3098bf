"""The truth of a frame, cut from its map at load time: exact vertices, points and a drawn mask."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.se3 import make_transform, planar_pose, rotation_z
from mapstack.maps import CROSSING_RULES, DIVIDER_RULES, VectorMap, load_map
from mapstack.maps.patch import CLASSES, DIRECTED_CLASSES, MapPatch
from mapstack.maps.raster import draw
from mapstack.registry import TRANSFORMS
from mapstack.structures import MapElements

__all__ = ["DrawMap", "VectorizeMap", "cached_map"]

NO_AUGMENTATION = {"yaw_rad": 0.0, "reflect": np.ones(2), "scale": 1.0}
MAX_MAPS = 1024  # all logs of Argoverse 2: 0.6 MB each, and 0.15 s to read one again


@lru_cache(maxsize=MAX_MAPS)
def cached_map(kind: str, root: str, name: str) -> VectorMap:
    """A map, kept while a worker uses it: four cities for nuScenes, one small map a log for Argoverse 2."""
    return load_map(kind, root, name)


@TRANSFORMS.register_module()
class VectorizeMap:
    """Cut the map to the patch of the (augmented) ego frame.

    Adds ``patch`` (:class:`MapPatch`), ``gt`` (:class:`MapElements`), ``grid``, ``classes`` and ``rules``. A frame
    whose patch holds nothing is valid and gets zero elements.

    Args:
        grid: ``pc_range`` and ``cell_m`` of :class:`BEVGrid`.
        classes: names in label order.
        divider_rule: which lines are dividers, see docs/GROUND_TRUTH.md.
        crossing_rule: how crossings are joined, same place.
        num_points: points per element for training; the exact vertices are kept beside them.
        min_length_m: shorter elements are left out; 0 keeps all, as the field does.
        inset_m: boundaries and crossings are cut this far inside the border; MapTR's is 0.2.
        optional: a frame without a map passes without ``gt`` instead of raising (recordings of one's own).
    """

    def __init__(
        self,
        grid: dict,
        classes: Sequence[str] = CLASSES[:3],
        divider_rule: str = "maptrv2",
        crossing_rule: str = "parallel",
        num_points: int = 20,
        min_length_m: float = 0.0,
        inset_m: float = 0.0,
        optional: bool = False,
    ) -> None:
        unknown = set(classes) - set(CLASSES)
        if unknown or not classes:
            raise ConfigError(f"classes {sorted(unknown)} are unknown; choose from {CLASSES}")
        self.grid = BEVGrid(**grid)
        self.classes = tuple(classes)
        self.divider_rule, self.crossing_rule, self.num_points = divider_rule, crossing_rule, num_points
        self.min_length_m, self.inset_m, self.optional = min_length_m, inset_m, optional
        if divider_rule not in DIVIDER_RULES or crossing_rule not in CROSSING_RULES:
            raise ConfigError(
                f"divider_rule {divider_rule!r} must be one of {', '.join(DIVIDER_RULES)}, crossing_rule "
                f"{crossing_rule!r} one of {', '.join(CROSSING_RULES)}; see docs/GROUND_TRUTH.md"
            )

    def __call__(self, results: dict) -> dict:
        """Cut and resample."""
        results["grid"], results["classes"] = self.grid, self.classes
        if results["map_kind"] is None:
            if self.optional:
                return results
            raise DataError(
                f"frame {results['token']} has no map; train needs one: put the map where data/README.md says and "
                f"prepare the index again, or set VectorizeMap(optional=True) to run without truth"
            )
        vector_map = cached_map(results["map_kind"], results["map_root"], results["map_name"] or "")
        patch = self._crop(vector_map, results)
        results["patch"], results["rules"] = patch, patch.rules
        results["gt"] = MapElements.from_patch(patch, self.num_points)
        return results

    def _crop(self, vector_map: VectorMap, results: dict) -> MapPatch:
        augmentation = results.get("bev_augmentation", NO_AUGMENTATION)
        reflect, scale = augmentation["reflect"], augmentation["scale"]
        self._check_symmetry(reflect)
        world_from_aug = planar_pose(results["world_from_ego"]) @ make_transform(
            rotation_z(-augmentation["yaw_rad"]), np.zeros(3)
        )
        grid = self.grid
        if scale != 1.0:  # what the scaled patch shows is a smaller or larger piece of ground
            grid = BEVGrid(tuple(value / scale for value in grid.pc_range), grid.cell_m / scale)
        patch = vector_map.crop(
            world_from_aug,
            grid,
            classes=self.classes,
            divider_rule=self.divider_rule,
            crossing_rule=self.crossing_rule,
            inset_m=self.inset_m / scale,
            min_length_m=self.min_length_m / scale,
        )
        rules = {**patch.rules, "origin": results.get("origin", "ego")}
        return reflect_and_scale(replace(patch, rules=rules), reflect, scale)

    def _check_symmetry(self, reflect: NDArray) -> None:
        x_min, y_min, x_max, y_max = self.grid.box_xy
        if (reflect[0] < 0 and x_min != -x_max) or (reflect[1] < 0 and y_min != -y_max):
            raise ConfigError(
                f"AugmentBEV mirrors a patch that is not symmetric, {self.grid.pc_range}: set flip_x_prob or "
                f"flip_y_prob to 0, or centre the range"
            )


def reflect_and_scale(patch: MapPatch, reflect: NDArray, scale: float) -> MapPatch:
    """Mirror and scale vertices; a single mirror reverses undirected elements, so that rings keep their orientation.

    Boundaries have the road on their right and rings their sense of turning; centerlines keep driving direction.
    """
    if scale == 1.0 and (reflect == 1.0).all():
        return patch
    factor = scale * np.array([*reflect, 1.0])
    turn = reflect.prod() < 0
    vertices = []
    for line, label in zip(patch.vertices, patch.labels, strict=True):
        moved = line * factor[: line.shape[1]]
        vertices.append(moved[::-1] if turn and patch.classes[label] not in DIRECTED_CLASSES else moved)
    return replace(patch, vertices=vertices)


@TRANSFORMS.register_module()
class DrawMap:
    """Draw the truth on the grid, a layer a class: ``bev_mask`` (K, rows, cols) uint8 in {0, 1}.

    Args:
        thickness: of the drawn lines, cells.
        cell_m: size of the mask's cells where it is not the grid's.
    """

    def __init__(self, thickness: int = 1, cell_m: float | None = None) -> None:
        self.thickness, self.cell_m = thickness, cell_m

    def __call__(self, results: dict) -> dict:
        """Draw ``patch``; a frame without a map gets no mask."""
        if "patch" in results:
            grid = results["grid"] if self.cell_m is None else results["grid"].with_cell(self.cell_m)
            results["bev_mask"] = draw(results["patch"], grid, self.thickness, len(results["classes"]))
        elif "grid" not in results:
            raise ConfigError("DrawMap must stand after VectorizeMap in the pipeline")
        return results
