"""Places on maps, without any recording: what an encoder of vectors is pre-trained on."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import shapely
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray

from mapstack.datasets.map_dataset import sample_seed
from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import load_map
from mapstack.maps.osm import load_osm
from mapstack.maps.patch import CLASSES
from mapstack.maps.prior_lines import PriorLines
from mapstack.registry import DATASETS, TRANSFORMS

__all__ = ["VectorCrops", "held_out", "places_along"]

STEP_ALONG_M = 1.0  # over which a line's heading is taken
TILE_M, HELD_OUT_SHARE, SEED = 250.0, 0.2, 0  # of the tiles of ground that are held out
MAP_KEYS = {"kind", "root", "name", "in_world"}
PARTS = ("train", "held_out")


@lru_cache(maxsize=64)
def _lines(kind: str, root: str, name: str | tuple[float, ...], in_world: bool) -> PriorLines:
    if kind == "osm":
        return PriorLines.from_streets(load_osm(root, name, cut_at_missing=True, in_world=in_world))
    return PriorLines.from_hd_map(load_map(kind, root, name), CLASSES)


def places_along(lines: NDArray, spacing_m: float) -> tuple[NDArray, NDArray]:
    """(M, 2) world metres and (M,) heading in radians, every ``spacing_m`` along LineStrings and Polygons' outlines."""
    is_area = shapely.get_type_id(lines) == shapely.GeometryType.POLYGON
    lines = np.where(is_area, shapely.boundary(lines), lines)
    length = shapely.length(lines)
    counts = np.maximum((length / spacing_m).astype(int), 1)
    owner = np.repeat(np.arange(len(lines)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = (number + 0.5) * (length / counts)[owner]
    here = shapely.get_coordinates(shapely.line_interpolate_point(lines[owner], along))
    ahead = shapely.get_coordinates(shapely.line_interpolate_point(lines[owner], along + STEP_ALONG_M))
    behind = shapely.get_coordinates(shapely.line_interpolate_point(lines[owner], np.maximum(along - STEP_ALONG_M, 0)))
    heading = ahead - behind
    return here, np.arctan2(heading[:, 1], heading[:, 0])


def held_out(places: NDArray) -> NDArray:
    """(M,) bool: which (M, 2) places lie in tiles of ground that are held out; the same for every map and order."""
    tiles, owner = np.unique(np.floor(places / TILE_M).astype(np.int64), axis=0, return_inverse=True)
    draws = [np.random.default_rng((SEED, int(x) % 2**32, int(y) % 2**32)).random() for x, y in tiles]
    return (np.array(draws) < HELD_OUT_SHARE)[owner.reshape(-1)] if len(places) else np.zeros(0, bool)


@DATASETS.register_module()
class VectorCrops(BaseDataset):
    """Places along the lines of maps, heading along them; tiles of ground are held out.

    A place of the training part lies ``reach_m`` or more from every held-out tile, so that no crop of one part shows
    ground of the other (a test). The pipeline gets ``token``, ``seed``, ``world_from_ego`` (4, 4),
    ``prior_lines`` (:class:`PriorLines`) and ``prior_source``.

    Args:
        maps: each ``kind`` ("osm", or one of :func:`mapstack.maps.load_map`), ``root`` (a file or folder), and ``name``
            (the place, location, or the lon and lat of the world's origin); ``in_world`` for street maps whose
            coordinates are world metres.
        pipeline: :class:`CropVectors` first.
        part: "train" or "held_out".
        spacing_m: between places of a line.
        max_places: of one map and part; more are thinned evenly.
        reach_m: as far as two crops reach together, from their places to their farthest corners.
        test_mode: as MMEngine has it.
        lazy_init: leave the maps unread until ``full_init``.
    """

    def __init__(
        self,
        maps: Sequence[Mapping],
        pipeline: Sequence[dict | Callable] = (),
        part: str = "train",
        spacing_m: float = 20.0,
        max_places: int = 2000,
        reach_m: float = 90.0,
        *,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        if part not in PARTS or not 0 <= reach_m <= TILE_M:
            raise ConfigError(f"part must be one of {PARTS} and reach_m in [0, {TILE_M}], got {part!r}, {reach_m}")
        for item in maps:
            if set(item) - MAP_KEYS or not {"kind", "root"} <= set(item):
                raise ConfigError(f"a map takes {sorted(MAP_KEYS)}, kind and root at least, got {dict(item)}")
        self.maps, self.part, self.spacing_m, self.max_places = (
            [dict(item) for item in maps],
            part,
            spacing_m,
            max_places,
        )
        self.reach_m = reach_m
        super().__init__(
            pipeline=[TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline],
            serialize_data=False,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def _map(self, number: int) -> tuple[PriorLines, str]:
        """A map's lines, read once in a process, and the source that it is to a model."""
        item = self.maps[number]
        name = item.get("name", "")
        name = name if isinstance(name, str) else tuple(name)
        lines = _lines(item["kind"], str(item["root"]), name, item.get("in_world", False))
        return lines, "sd" if item["kind"] == "osm" else "hd"

    def load_data_list(self) -> list[dict]:
        """Choose the places of every map."""
        rows = []
        for number in range(len(self.maps)):
            lines, _ = self._map(number)
            places, headings = places_along(lines.lines, self.spacing_m)
            chosen = np.flatnonzero(self._belongs(places))
            step = max(1, -(-len(chosen) // self.max_places))
            rows += [
                {"map": number, "place": places[i], "heading": float(headings[i]), "token": f"{lines.name}#{i}"}
                for i in chosen[::step]
            ]
        if not rows:
            raise DataError(
                f"no place of {[item['root'] for item in self.maps]} is in part {self.part!r}; give larger maps"
            )
        return rows

    def _belongs(self, places: NDArray) -> NDArray:
        if self.part == "held_out":
            return held_out(places)
        steps = (-self.reach_m, 0.0, self.reach_m)  # no tile fits between two of them
        return ~np.any([held_out(places + (x, y)) for x in steps for y in steps], axis=0)

    def __getitem__(self, idx: int | tuple[int, int]) -> dict:
        """Cut a place: ``idx`` is its number, or (number, seed) as :class:`ResumableSampler` gives."""
        self.full_init()
        number, seed = idx if isinstance(idx, tuple) else (idx, sample_seed(SEED, 0, int(idx)))
        row = self.data_list[int(number)]
        lines, source = self._map(row["map"])
        pose = make_transform(rotation_z(row["heading"]), np.array([*row["place"], 0.0]))
        frame = {"token": row["token"], "seed": int(seed), "world_from_ego": pose}
        return self.pipeline({**frame, "prior_lines": lines, "prior_source": source})
