"""Where a frame's priors come from: street maps, HD maps of whatever age, maps of earlier drives."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.maps import VectorMap, load_geojson
from mapstack.maps.clip import patch_in_world
from mapstack.maps.drives import DriveStore
from mapstack.maps.osm import load_osm
from mapstack.maps.patch import CLASSES
from mapstack.maps.prior_lines import PriorLines
from mapstack.maps.stale import Ageing, age_map, only_classes
from mapstack.registry import TRANSFORMS

from .randomness import frame_generator
from .truth import cached_map

__all__ = ["DrivePrior", "HDMapPrior", "StreetPrior"]

MAX_PRIORS = 1024  # all logs of Argoverse 2
Box = tuple[float, float, float, float]


@lru_cache(maxsize=MAX_PRIORS)
def _streets(path: str, place: str, cut_at_missing: bool, in_world: bool) -> PriorLines:
    return PriorLines.from_streets(load_osm(path, place, cut_at_missing=cut_at_missing, in_world=in_world))


@lru_cache(maxsize=MAX_PRIORS)
def _hd_map(
    where: tuple[str, ...], ageing: Ageing, seed: int, rules: tuple[str, str], classes: tuple[str, ...]
) -> PriorLines:
    """An HD map as it is (no ageing) or was; ``where`` is (file,) or the frame's kind, root and name."""
    vector_map: VectorMap = load_geojson(where[0]) if len(where) == 1 else cached_map(*where)
    changes = [] if len(where) > 1 else None  # of a file nobody knows what has changed since
    if not ageing.is_none:
        aged = age_map(vector_map, ageing, seed, divider_rule=rules[0], crossing_rule=rules[1])
        vector_map = only_classes(aged.vector_map, classes)
        changes = None if changes is None else aged.changes
    return PriorLines.from_hd_map(vector_map, classes, *rules, changes)


@TRANSFORMS.register_module()
class StreetPrior:
    """Streets of OpenStreetMap around the frame.

    Args:
        files: one file, or a file for each location (or city) of the index; frames of other locations have no such
            prior.
        name: what results call the prior.
        place: whose world frame the files are to be put into; None for the frame's location.
        cut_at_missing: as in :func:`mapstack.maps.load_osm`.
        in_world: the files' coordinates are world metres already.
        max_distance_m: a map whose nearest street is farther from the ego is taken to be wrong.
    """

    source = "sd"

    def __init__(
        self,
        files: str | Mapping[str, str],
        name: str = "sd",
        place: str | Sequence[float] | None = None,
        cut_at_missing: bool = True,
        in_world: bool = False,
        max_distance_m: float | None = 2000.0,
    ) -> None:
        self.files, self.name, self.cut_at_missing, self.in_world = files, name, cut_at_missing, in_world
        self.place = place if place is None or isinstance(place, str) else tuple(place)
        self.max_distance_m = max_distance_m

    def lines(self, results: dict, pose: NDArray, box: Box) -> PriorLines | None:
        """The whole map of the frame's location; None where there is no file for it."""
        path = self.files if isinstance(self.files, str) else self.files.get(results["location"])
        if path is None:
            return None
        return _streets(path, self.place or results["location"], self.cut_at_missing, self.in_world)


@TRANSFORMS.register_module()
class HDMapPrior:
    """An HD map: today's (``strength=0``, a check of the plumbing) or an aged one, the same for every frame.

    Args:
        name: what results call the prior.
        strength: of :meth:`mapstack.maps.stale.Ageing.at`; or (least, most), between which ``pasts`` are spread evenly.
        ageing: arguments of :class:`Ageing` instead of a strength.
        seed: of the past.
        pasts: in training, one of so many pasts by the frame's seed: augmentation by ageing. 1 is the one of ``seed``.
        classes: that the prior holds; ("boundary",) and ("centerline",) are MapEX's variants.
        divider_rule: as in VectorizeMap.
        crossing_rule: as in VectorizeMap.
        file: a GeoJSON map instead of the frame's own.
        max_distance_m: a map whose nearest element is farther from the ego is taken to be wrong.
    """

    source = "hd"

    def __init__(
        self,
        name: str = "hd",
        strength: float | tuple[float, float] = 0.0,
        ageing: dict | None = None,
        seed: int = 0,
        pasts: int = 1,
        classes: Sequence[str] = CLASSES[:3],
        divider_rule: str = "maptrv2",
        crossing_rule: str = "parallel",
        file: str | None = None,
        max_distance_m: float | None = 2000.0,
    ) -> None:
        if set(classes) - set(CLASSES) or pasts < 1:
            raise ConfigError(f"classes must be of {CLASSES} and pasts at least 1, got {classes} and {pasts}")
        if ageing is not None and strength:
            raise ConfigError("HDMapPrior takes strength or ageing, not both")
        strengths = np.broadcast_to(strength, 2) if np.ndim(strength) == 0 else np.asarray(strength, dtype=float)
        if strengths.shape != (2,) or strengths[0] > strengths[1] or (pasts == 1 and strengths[0] != strengths[1]):
            raise ConfigError(f"strength must be a number, or with pasts > 1 (least, most), got {strength}")
        self.name, self.seed, self.pasts, self.file = name, seed, pasts, file
        spread = [Ageing.at(float(value)) for value in np.linspace(*strengths, pasts)]
        self.ageings = spread if ageing is None else [Ageing(**ageing)] * pasts
        self.classes, self.rules, self.max_distance_m = tuple(classes), (divider_rule, crossing_rule), max_distance_m

    def lines(self, results: dict, pose: NDArray, box: Box) -> PriorLines | None:
        """The whole map; None where the frame has none."""
        if self.file is None and results["map_kind"] is None:
            return None
        where = (results["map_kind"], results["map_root"], results["map_name"] or "")
        past = int(frame_generator(results, self).integers(self.pasts)) if self.pasts > 1 else 0
        where = where if self.file is None else (self.file,)
        return _hd_map(where, self.ageings[past], self.seed + past, self.rules, self.classes)


@TRANSFORMS.register_module()
class DrivePrior:
    """What earlier drives predicted here; never this drive's own predictions.

    Args:
        store: folder that tools/build_drive_map.py wrote.
        name: what results call the prior.
        min_gap_s: an earlier drive must have ended so long before the frame.
        reach_m: lines of several drives closer than this and parallel are the same.
        max_distance_m: unused: what a drive saw lies in the tiles that it drove through.
    """

    source = "drive"
    max_distance_m = None

    def __init__(self, store: str, name: str = "drives", min_gap_s: float = 60.0, reach_m: float = 1.5) -> None:
        self.store, self.name, self.min_gap_s, self.reach_m = store, name, min_gap_s, reach_m
        self._opened: DriveStore | None = None

    def lines(self, results: dict, pose: NDArray, box: Box) -> PriorLines | None:
        """What is known around the patch; None where no earlier drive was."""
        if self._opened is None:
            self._opened = DriveStore(self.store)
        return self._opened.query(
            results["location"],
            _ground(pose, box),
            drive=results["scene"],
            timestamp_ns=results["timestamp_ns"],
            min_gap_s=self.min_gap_s,
            reach_m=self.reach_m,
        )


def _ground(pose: NDArray, box: Box) -> shapely.Polygon:
    return patch_in_world(np.asarray(pose, np.float64), box)
