"""The vectorised clip against shapely's own, and the facts that shapely's lacks: z and rings."""

import numpy as np
import pytest
import shapely

from mapstack.geometry.polyline import is_closed
from mapstack.geometry.se3 import invert, transform_points
from mapstack.maps.clip import RUN_SEGMENTS, LineIndex, patch_in_world

from .conftest import pose_at

BOX = (-30.0, -15.0, 30.0, 15.0)
HERE = np.eye(4)


def in_ego(lines: np.ndarray, world_from_ego: np.ndarray) -> np.ndarray:
    ego_from_world = invert(world_from_ego)[:2, [0, 1, 3]]
    return shapely.transform(lines, lambda xy: xy @ ego_from_world[:, :2].T + ego_from_world[:, 2])


def strings(parts: list[np.ndarray]) -> shapely.MultiLineString:
    return shapely.geometry.MultiLineString([part[:, :2] for part in parts])


def wandering(seed: int, count: int = 30, dims: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 8, (count, 50, dims)), axis=1) + rng.uniform(-40, 40, (count, 1, dims))
    return shapely.linestrings(steps + [500.0, 700.0, 0.0][:dims])


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_clip_by_rect(seed: int) -> None:
    lines, pose = wandering(seed), pose_at(500.0, 700.0, 0.7 * seed)
    pieces = LineIndex(lines).clip(pose, BOX)
    wanted = shapely.clip_by_rect(shapely.force_2d(in_ego(lines, pose)), *BOX)
    assert len(pieces) == (shapely.length(shapely.get_parts(wanted)) > 1e-3).sum()
    for number, want in enumerate(wanted):
        got = strings([piece.vertices for piece in pieces if piece.line == number])
        assert shapely.length(got) == pytest.approx(shapely.length(want), abs=1e-6)
        if not shapely.is_empty(want):
            assert shapely.hausdorff_distance(got, want) < 1e-6
    for piece in pieces:
        assert (piece.vertices[:, :2] >= BOX[:2]).all() and (piece.vertices[:, :2] <= BOX[2:]).all()


def test_cut_points_take_their_height_from_the_line() -> None:
    line = shapely.linestrings([[-50.0, 0.0, 0.0], [50.0, 0.0, 10.0]])
    (piece,) = LineIndex(np.array([line])).clip(pose_at(0, 0, 0, z=2.0), BOX)
    np.testing.assert_allclose(piece.vertices, [[-30, 0, 0.0], [30, 0, 6.0]])


def test_every_height_lies_on_the_line() -> None:
    x = np.linspace(-60, 60, 200)
    line = np.column_stack([x, 14 * np.sin(x / 4) * 1.3, np.cos(x)])
    for piece in LineIndex(np.array([shapely.linestrings(line)])).clip(HERE, BOX):
        np.testing.assert_allclose(piece.vertices[:, 2], np.interp(piece.vertices[:, 0], x, line[:, 2]), atol=1e-9)


def ring(
    radius: float, start_deg: float, centre: tuple = (0.0, 0.0), n: int = 3 * RUN_SEGMENTS + 5
) -> shapely.LineString:
    angles = np.radians(start_deg) + np.linspace(0, 2 * np.pi, n)
    points = np.column_stack([np.cos(angles), np.sin(angles)]) * radius + centre
    points[-1] = points[0]
    return shapely.linestrings(points)


def test_a_ring_inside_stays_closed() -> None:
    (piece,) = LineIndex(np.array([ring(10.0, 33.0)])).clip(HERE, BOX)
    assert piece.closed and is_closed(piece.vertices)
    assert len(piece.vertices) == 3 * RUN_SEGMENTS + 5


@pytest.mark.parametrize("start_deg", [0.0, 45.0, 90.0, 200.0])
def test_a_cut_ring_does_not_break_at_its_first_vertex(start_deg: float) -> None:
    """A circle of 20 m shows two arcs in a patch 30 m wide, wherever its vertices begin."""
    pieces = LineIndex(np.array([ring(20.0, start_deg)])).clip(HERE, BOX)
    assert len(pieces) == 2 and not any(piece.closed for piece in pieces)
    for piece in pieces:
        np.testing.assert_allclose(np.abs(piece.vertices[[0, -1], 1]), 15.0)
        assert len(np.unique(piece.vertices, axis=0)) == len(piece.vertices)


def test_a_vertex_on_the_border_does_not_split() -> None:
    touching = shapely.linestrings([[-10.0, 0.0], [0.0, 15.0], [10.0, 0.0]])
    (piece,) = LineIndex(np.array([touching])).clip(HERE, BOX)
    assert len(piece.vertices) == 3


def test_a_line_along_the_border_is_inside_and_a_touching_one_is_nothing() -> None:
    along = shapely.linestrings([[-10.0, 15.0], [10.0, 15.0]])
    corner = shapely.linestrings([[20.0, 25.0], [40.0, 5.0]])
    beyond = shapely.linestrings([[-40.0, 20.0], [40.0, 20.0]])
    pieces = LineIndex(np.array([along, corner, beyond])).clip(HERE, BOX)
    assert [piece.line for piece in pieces] == [0]


def test_repeated_vertices_are_dropped() -> None:
    line = shapely.linestrings([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0], [5.0, 0.0]])
    (piece,) = LineIndex(np.array([line])).clip(HERE, BOX)
    np.testing.assert_array_equal(piece.vertices, [[0.0, 0.0], [5.0, 0.0]])


def test_nothing_gives_nothing() -> None:
    assert LineIndex(np.zeros(0, dtype=object)).clip(HERE, BOX) == []
    assert LineIndex(wandering(0)).clip(pose_at(-9e3, 0, 0), BOX) == []


def test_patch_in_world_is_the_moved_box() -> None:
    pose = pose_at(7.0, -3.0, 0.4)
    corners = shapely.get_coordinates(patch_in_world(pose, BOX))[:4]
    wanted = np.array([[-30, -15, 0], [30, -15, 0], [30, 15, 0], [-30, 15, 0]], dtype=float)
    np.testing.assert_allclose(corners, transform_points(pose, wanted)[:, :2])
