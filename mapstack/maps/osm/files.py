"""OpenStreetMap's own files through pyosmium: .osm, .osm.bz2, .osm.gz and .osm.pbf.

OSMnx reads the first three too, but makes an edge of every segment (a way of a million points takes gigabytes) and
stops at a way whose node is missing without naming it. A test compares the two on a real extract.
"""

import logging
from collections import defaultdict
from pathlib import Path

import numpy as np

from mapstack.errors import DataError

from .extract import OsmExtract, OsmNode, OsmWay
from .tags import is_road

__all__ = ["read_osm_file"]

logger = logging.getLogger(__name__)

POINT_KINDS = ("crossing", "traffic_signals")
NUMBERS_NAMED = 5


def read_osm_file(path: Path, *, cut_at_missing: bool = False) -> OsmExtract:
    """Read streets, crossings and signals; the order of elements in the file does not matter.

    libosmium, which parses, refuses XML entities, so that a file cannot blow up in memory.

    Args:
        path: the file.
        cut_at_missing: extracts that were cut by a box hold ways whose outer nodes are elsewhere. True cuts such a way
            there and keeps its parts, with a line in the log; False raises.

    Raises:
        DataError: the file is damaged or holds XML entities, a way refers to a node that is not in it, or a node has
            no sound place; the way and the node are named.
    """
    import osmium  # late: only who reads such a file needs it

    try:
        ways = [
            (way.id, np.array([node.ref for node in way.nodes], np.int64), dict(way.tags))
            for way in osmium.FileProcessor(path, osmium.osm.WAY).with_filter(osmium.filter.KeyFilter("highway"))
        ]
        ways = [row for row in ways if is_road(row[2]) or row[2].get("footway") == "crossing"]
        wanted = np.unique(np.concatenate([nodes for _, nodes, _ in ways])) if ways else np.zeros(0, np.int64)
        places, points = _read_nodes(path, wanted)
    except (RuntimeError, osmium.InvalidLocationError) as error:
        raise DataError(f"{path}: pyosmium cannot read this file ({error}); fetch or export it again") from error
    kept = [part for row in ways for part in _located(row, wanted, places, path, cut_at_missing)]
    return OsmExtract(str(path), kept, points)


def _read_nodes(path: Path, wanted: np.ndarray) -> tuple[np.ndarray, list[OsmNode]]:
    """(n, 2) lon, lat of the wanted nodes, not-a-number where there is none; and the signals and crossings."""
    import osmium

    places, points = np.full((len(wanted), 2), np.nan), []
    nodes = osmium.FileProcessor(path, osmium.osm.NODE)
    if len(wanted) and wanted[0] > 0:  # editors number new nodes downwards from -1, which the filter does not take
        nodes.with_filter(osmium.filter.IdFilter(wanted.tolist()))
    for node in nodes:
        at = int(np.searchsorted(wanted, node.id))
        if at == len(wanted) or wanted[at] != node.id:
            continue
        if not node.location.valid():
            raise DataError(f"{path}: node {node.id} has no sound lon and lat; mend the file")
        places[at] = node.location.lon, node.location.lat
        if node.tags.get("highway") in POINT_KINDS:
            points.append(OsmNode(node.id, places[at].copy(), dict(node.tags)))
    return places, points


def _located(
    way: tuple[int, np.ndarray, dict], wanted: np.ndarray, places: np.ndarray, path: Path, cut_at_missing: bool
) -> list[OsmWay]:
    """The way with its places; its parts where nodes are missing and it may be cut."""
    number, nodes, tags = way
    points = places[np.searchsorted(wanted, nodes)] if len(nodes) else np.zeros((0, 2))
    missing = np.isnan(points).any(1)
    if not missing.any():
        return [OsmWay(str(number), points, tags, nodes)]
    names = ", ".join(map(str, nodes[missing][:NUMBERS_NAMED]))
    if not cut_at_missing:
        raise DataError(
            f"{path}: way {number} refers to {int(missing.sum())} nodes that the file lacks ({names}); export the "
            f"extract with complete ways, or pass cut_at_missing=True to keep the parts that are there"
        )
    logger.warning("%s: way %d is cut at %d missing nodes (%s)", path, number, int(missing.sum()), names)
    runs: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(~missing).tolist():
        runs[int(missing[:i].sum())].append(i)
    parts = [run for run in runs.values() if len(run) > 1]
    return [OsmWay(f"{number}-{k}", points[run], tags, nodes[run]) for k, run in enumerate(parts)]
