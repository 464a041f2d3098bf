"""Which lane leads to which through a junction, and along what curve."""

from typing import TYPE_CHECKING

import numpy as np

from .curves import Curve, biarc
from .network import Junction, Network

if TYPE_CHECKING:
    from .elements import Lane

__all__ = ["connect"]

STRAIGHT_RAD = np.radians(40.0)
MIN_RADIUS_M = 4.0


def connect(network: Network, lanes: "list[Lane]") -> list[tuple[int, int, int, Curve, tuple[float, float]]]:
    """Ways through every junction.

    Straight on, a lane keeps its rank; right turns join the kerb lanes, left turns the inner ones. A lane that
    none of these takes on gets the nearest straight way, so that no lane ends at a junction with an exit.

    Returns:
        (junction, from lane, to lane, curve, half widths) of each connector, in a fixed order.
    """
    by_end: dict[tuple[int, bool], list[int]] = {}
    for i, lane in enumerate(lanes):
        by_end.setdefault((lane.road, lane.is_forward), []).append(i)
    found = []
    for j, junction in enumerate(network.junctions):
        for entry in junction.arms:
            incoming = by_end.get((entry.road, not entry.at_start), [])
            used: set[int] = set()
            options = _exits(junction, entry, by_end)
            for turn, outgoing in options:
                for a, b in _pairs(turn, incoming, outgoing):
                    made = _connector(network, lanes, j, a, b)
                    if made:
                        used.add(a)
                        found.append(made)
            for a in incoming:
                ways = [_connector(network, lanes, j, a, outgoing[-1]) for _, outgoing in options]
                if a not in used and any(ways):
                    found.append(next(way for way in ways if way))
    return found


def _exits(junction: Junction, entry: object, by_end: dict) -> list[tuple[float, list[int]]]:
    """Turning angle and lanes of each way out, the straightest first."""
    exits = []
    for leave in junction.arms:
        outgoing = by_end.get((leave.road, leave.at_start), [])
        if leave is entry or not outgoing:
            continue
        turn = (leave.yaw - entry.yaw + np.pi + np.pi) % (2 * np.pi) - np.pi
        exits.append((float(turn), outgoing))
    return sorted(exits, key=lambda option: (abs(option[0]), option[0]))


def _pairs(turn: float, incoming: list[int], outgoing: list[int]) -> list[tuple[int, int]]:
    if not incoming:
        return []
    if abs(turn) <= STRAIGHT_RAD:
        return [(a, outgoing[min(rank, len(outgoing) - 1)]) for rank, a in enumerate(incoming)]
    if turn < 0:
        return [(incoming[0], outgoing[0])]
    return [(incoming[-1], outgoing[-1])]


def _connector(
    network: Network, lanes: "list[Lane]", junction: int, from_lane: int, to_lane: int
) -> tuple[int, int, int, Curve, tuple[float, float]] | None:
    entry, leave = lanes[from_lane], lanes[to_lane]
    curve = biarc(tuple(entry.curve.joints[-1]), tuple(leave.curve.joints[0]))
    if np.abs(curve.curvatures).max() * MIN_RADIUS_M > 1.0 or curve.length > 90.0:
        return None
    half = tuple(network.roads[lane.road].section.lane_m / 2.0 for lane in (entry, leave))
    return junction, from_lane, to_lane, curve, half
