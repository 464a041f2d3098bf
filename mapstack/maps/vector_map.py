"""A vector map in world metres, and its exact view from any pose."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.polyline import length_m
from mapstack.geometry.se3 import planar_pose

from . import rules
from .clip import Box, LineIndex, patch_in_world
from .crossings import CrossingIndex
from .layers import MapLayer
from .patch import CLASSES, MapPatch
from .polygons import outer_and_inner, repaired

__all__ = ["VectorMap"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]  # class and its rule, "" where there is only one
Element = tuple[int, NDArray, bool]  # label, vertices, closed


class VectorMap:
    """Layers of polylines and polygons; whatever a crop needs of them is worked out once, when first asked for.

    Args:
        layers: by name; layers.py lists the names that the rules read. All are 2-D, or all 3-D.
        name: what messages call the map: a file, a log, a city.
        source: "nuscenes", "argoverse2", "geojson", or whoever made the layers.
    """

    def __init__(self, layers: Mapping[str, MapLayer], name: str = "map", source: str = "layers") -> None:
        self.layers, self.name, self.source = dict(layers), name, source
        flat = {key: shapely.has_z(layer.geometries) for key, layer in self.layers.items() if len(layer)}
        if len(set(np.concatenate(list(flat.values())).tolist() if flat else [])) > 1:
            counts = {key: f"{int(has_z.sum())} of {len(has_z)}" for key, has_z in flat.items()}
            raise DataError(f"{name}: all records must have z or none; with z are {counts}")
        self.has_z = bool(flat) and bool(next(iter(flat.values())).all())
        self._polygons: dict[str, NDArray] = {}
        self._lines: dict[Key, NDArray] = {}
        self._crossing_indices: dict[Key, CrossingIndex] = {}
        self._line_indices: dict[tuple[Key, ...], tuple[LineIndex, NDArray]] = {}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key} {len(layer)}" for key, layer in self.layers.items())
        return f"VectorMap({self.name!r}, {self.source}, {'3-D' if self.has_z else '2-D'}: {sizes})"

    @cached_property
    def repairs(self) -> dict[str, list[str]]:
        """Layer -> tokens of its polygons that cross themselves, and that are repaired wherever the map is used."""
        found = {}
        for name, layer in self.layers.items():
            if len(layer) and shapely.get_type_id(layer.geometries[0]) == shapely.GeometryType.POLYGON:
                broken = ~shapely.is_valid(layer.geometries)
                if broken.any():
                    found[name] = [token for token, bad in zip(layer.tokens, broken, strict=True) if bad]
        for name, tokens in found.items():
            logger.warning("%s: repaired %d polygons of %s: %s", self.name, len(tokens), name, ", ".join(tokens[:5]))
        return found

    def polygons(self, layer: str) -> NDArray:
        """Valid polygons of a layer; empty where the map lacks it."""
        if layer not in self._polygons:
            geometries = self.layers[layer].geometries if layer in self.layers else np.zeros(0, dtype=object)
            self._polygons[layer] = repaired(geometries)[0] if layer in self.repairs else geometries
        return self._polygons[layer]

    def elements(self, name: str, rule: str = "") -> NDArray:
        """All of a class in the world, before any crop.

        Args:
            name: of :data:`mapstack.maps.CLASSES`.
            rule: divider or crossing rule; the other classes have one rule only.

        Returns:
            (N,) LineStrings, or Polygons for crossings.
        """
        if (name, rule) not in self._lines:
            if name == "divider":
                made = rules.divider_lines(self.layers, rule, self.elements("boundary"))
            elif name == "ped_crossing":
                made = rules.crossing_polygons(self.polygons, rule)
            elif name == "boundary":
                made = rules.boundary_lines(self.layers, self.polygons)
            elif name == "centerline":
                made = rules.centerline_lines(self.layers)
            else:
                raise ValueError(f"unknown class {name!r}; choose from {', '.join(CLASSES)}")
            self._lines[name, rule] = made
        return self._lines[name, rule]

    def crop(
        self,
        world_from_ego: NDArray,
        grid: BEVGrid,
        *,
        classes: Sequence[str] = CLASSES[:3],
        divider_rule: str = "maptrv2",
        crossing_rule: str = "parallel",
        ego_from_lidar: NDArray | None = None,
        inset_m: float = 0.0,
        min_length_m: float = 0.0,
    ) -> MapPatch:
        """The map inside the patch of a pose; a patch with nothing in it is valid.

        The patch is gravity-aligned: roll and pitch of the pose are left out, and z is the height above the ego.

        Args:
            world_from_ego: (4, 4).
            grid: its x and y range is the patch, of any size.
            classes: names in label order.
            divider_rule: "maptrv2", "painted" or "neighbour"; see docs/GROUND_TRUTH.md.
            crossing_rule: "parallel", "union" or "separate".
            ego_from_lidar: given, the patch is centred on the LiDAR with the ego's axes, as MapTR's is on nuScenes
                (vertices are then relative to that point in x and y).
            inset_m: MapTR's inset of the border: boundaries and crossings are cut, as lines, this far inside, and a
                crossing that is cut is open.
            min_length_m: shorter elements are left out.
        """
        pose = planar_pose(np.asarray(world_from_ego, dtype=np.float64))
        if not np.isfinite(pose).all():
            raise DataError(f"{self.name}: the pose to crop at is not finite: {np.asarray(world_from_ego).tolist()}")
        if ego_from_lidar is not None:
            pose[:2, 3] = (np.asarray(world_from_ego) @ ego_from_lidar)[:2, 3]
        keys = [(name, {"divider": divider_rule, "ped_crossing": crossing_rule}.get(name, "")) for name in classes]
        found = [
            (label, line, closed)
            for label, line, closed in self._cut(keys, pose, grid.box_xy, inset_m)
            if min_length_m <= 0 or length_m(line) >= min_length_m
        ]
        made_by = {"divider": divider_rule, "crossing": crossing_rule}
        made_by["origin"] = "ego" if ego_from_lidar is None else "lidar"
        made_by |= {"inset_m": str(inset_m)} if inset_m else {}
        made_by |= {"min_length_m": str(min_length_m)} if min_length_m else {}
        return MapPatch(
            vertices=[line for _, line, _ in found],
            labels=np.array([label for label, _, _ in found], dtype=np.int64),
            closed=np.array([closed for _, _, closed in found], dtype=bool),
            classes=tuple(classes),
            rules=made_by,
        )

    def _cut(self, keys: list[Key], pose: NDArray, box: Box, inset_m: float) -> list[Element]:
        """Label, vertices and closedness of all that is inside, in label order."""
        narrow = (box[0] + inset_m, box[1] + inset_m, box[2] - inset_m, box[3] - inset_m)
        areas = [key for key in keys if key[0] == "ped_crossing" and not inset_m]
        inset = [key for key in keys if key[0] in ("ped_crossing", "boundary") and inset_m]
        plain = tuple(key for key in keys if key not in areas and key not in inset)
        patch, found = patch_in_world(pose, box), []
        for key in areas:
            found += [(keys.index(key), ring, True) for ring in self._crossings(key).clip(pose, box, patch)]
        for group, limits in ((plain, box), (tuple(inset), narrow)):
            if group:
                index, owner = self._line_index(group)
                pieces = index.clip(pose, limits, patch)
                found += [(keys.index(group[owner[p.line]]), p.vertices, p.closed) for p in pieces]
        return sorted(found, key=lambda element: element[0])

    def _crossings(self, key: Key) -> CrossingIndex:
        if key not in self._crossing_indices:
            self._crossing_indices[key] = CrossingIndex(self.elements(*key))
        return self._crossing_indices[key]

    def _line_index(self, keys: tuple[Key, ...]) -> tuple[LineIndex, NDArray]:
        """One index over several classes, because a clip costs per call more than per line; and each line's class."""
        if keys not in self._line_indices:
            lines = [self.elements(*key) for key in keys]
            lines = [
                outer_and_inner(made) if key[0] == "ped_crossing" else made
                for key, made in zip(keys, lines, strict=True)
            ]
            owner = np.repeat(np.arange(len(keys)), [len(made) for made in lines])
            self._line_indices[keys] = LineIndex(np.concatenate(lines)), owner
        return self._line_indices[keys]

    def to_geojson(self, path: str | Path) -> None:
        """Write every layer with its attributes; :func:`mapstack.maps.load_geojson` reads the same map back."""
        from .geojson import write_geojson  # that module builds VectorMaps, so it is not imported above

        write_geojson(self, path)
