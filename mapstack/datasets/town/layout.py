"""Where junctions and roads lie: districts of a sheared, jittered grid, its streets curved and partly missing."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

__all__ = ["Sketch", "place_districts", "sketch_district"]

SPACING_M = 128.0
POSITION_JITTER_M = 13.0
MISSING_SHARE = 0.12
DISTRICT_GAP_M = 190.0


@dataclass(frozen=True)
class Sketch:
    """A street plan before it has widths.

    Args:
        junctions: (J, 2) world metres.
        streets: per street its two junctions and the waypoints in between, (W, 3) poses (x, y, yaw).
    """

    junctions: NDArray
    streets: list[tuple[int, int, NDArray]]

    def moved(self, shift: NDArray) -> "Sketch":
        """The same plan, (2,) ``shift`` metres away."""
        streets = [(a, b, way + np.array([*shift, 0.0])) for a, b, way in self.streets]
        return Sketch(self.junctions + shift, streets)


def sketch_district(rng: np.random.Generator, columns: int, rows: int) -> Sketch:
    """Draw one district of about ``columns`` x ``rows`` junctions around the origin."""
    graph = _draw_graph(rng, columns, rows)
    shear, turn = rng.uniform(-0.45, 0.45), rng.uniform(0.0, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    affine = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, shear], [0.0, 1.0]])
    for node in sorted(graph.nodes):
        jitter = rng.uniform(-POSITION_JITTER_M, POSITION_JITTER_M, 2)
        graph.nodes[node]["xy"] = affine @ (np.array(node, float) * SPACING_M + jitter)
    junctions = sorted(node for node in graph.nodes if graph.degree(node) >= 3)
    index = {node: i for i, node in enumerate(junctions)}
    streets = [
        (index[chain[0]], index[chain[-1]], _waypoints([graph.nodes[n]["xy"] for n in chain], rng))
        for chain in _chains(graph, index)
    ]
    return Sketch(np.array([graph.nodes[node]["xy"] for node in junctions]), streets)


def place_districts(sketches: list[Sketch], per_row: int) -> list[Sketch]:
    """Set districts side by side with open land between them, the whole in positive coordinates."""
    placed, corner, row_top = [], np.array([DISTRICT_GAP_M / 2, DISTRICT_GAP_M / 2]), 0.0
    for i, sketch in enumerate(sketches):
        points = np.concatenate([sketch.junctions, *[way[:, :2] for _, _, way in sketch.streets]])
        if i and i % per_row == 0:
            corner = np.array([DISTRICT_GAP_M / 2, row_top + DISTRICT_GAP_M])
        placed.append(sketch.moved(corner - points.min(0)))
        top = corner + np.ptp(points, axis=0)
        row_top = max(row_top, top[1])
        corner = np.array([top[0] + DISTRICT_GAP_M, corner[1]])
    return placed


def _draw_graph(rng: np.random.Generator, columns: int, rows: int) -> nx.Graph:
    """A grid with streets missing, in which no street leads back to the junction that it left."""
    while True:
        graph = nx.grid_2d_graph(columns, rows)
        _remove_streets(graph, rng)
        junctions = {node for node in sorted(graph.nodes) if graph.degree(node) >= 3}
        num_arms = sum(2 for _ in _chains(graph, dict.fromkeys(sorted(junctions))))
        if num_arms == sum(graph.degree(node) for node in junctions):
            return graph


def _remove_streets(graph: nx.Graph, rng: np.random.Generator) -> None:
    edges = sorted(graph.edges)
    wanted = int(MISSING_SHARE * len(edges))
    for i in rng.permutation(len(edges)):
        a, b = edges[i]
        if wanted == 0 or min(graph.degree(a), graph.degree(b)) < 3:
            continue
        graph.remove_edge(a, b)
        has_junction = sum(graph.degree(node) >= 3 for node in graph.nodes) >= 2
        if has_junction and nx.is_connected(graph):
            wanted -= 1
        else:
            graph.add_edge(a, b)


def _chains(graph: nx.Graph, junctions: dict) -> list[list]:
    """Node lists from junction to junction: a node with two streets is a bend, not a junction."""
    chains, seen = [], set()
    for start in junctions:
        for neighbour in sorted(graph.neighbors(start)):
            chain = [start, neighbour]
            while chain[-1] not in junctions:
                chain.append(next(n for n in sorted(graph.neighbors(chain[-1])) if n != chain[-2]))
            key = frozenset([tuple(chain), tuple(reversed(chain))])
            if key not in seen and chain[0] != chain[-1]:
                seen.add(key)
                chains.append(chain)
    return chains


def _waypoints(points: list[NDArray], rng: np.random.Generator) -> NDArray:
    """Bends of a chain, and a swerve in the middle of a street that has none."""
    poses = []
    for before, here, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        poses.append([*here, np.arctan2(*(after - before)[::-1])])
    if not poses:
        along = points[1] - points[0]
        normal = np.array([-along[1], along[0]]) / np.hypot(*along)
        middle = (points[0] + points[1]) / 2 + normal * rng.normal(0.0, 6.0)
        poses.append([*middle, np.arctan2(*along[::-1]) + rng.normal(0.0, 0.18)])
    return np.array(poses)
