import numpy as np
import pytest
import shapely

from mapstack.geometry.polyline import equivalent_orders, is_closed, length_m, resample


def wandering_lines(dims: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.normal(0, 3, (n, dims)), axis=0) for n in (2, 3, 7, 40, 2)]


def test_resample_agrees_with_shapely_interpolate() -> None:
    lines = wandering_lines(2)
    points = resample(lines, 20)
    for line, got in zip(lines, points, strict=True):
        geometry = shapely.linestrings(line)
        wanted = shapely.line_interpolate_point(geometry, np.linspace(0, geometry.length, 20))
        np.testing.assert_allclose(got, shapely.get_coordinates(wanted), atol=1e-9)


def test_resample_walks_in_xy_and_carries_z() -> None:
    line = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 30.0], [4.0, 0.0, 30.0]])
    np.testing.assert_allclose(resample([line], 5)[0, :, 2], [0.0, 10.0, 20.0, 30.0, 30.0])


def test_resample_keeps_both_ends_exactly() -> None:
    for line, got in zip(wandering_lines(3, 1), resample(wandering_lines(3, 1), 11), strict=True):
        np.testing.assert_array_equal(got[[0, -1]], line[[0, -1]])


@pytest.mark.parametrize("repeat", [1, 4], ids=["one vertex", "one vertex four times"])
def test_a_line_without_length_gives_its_point(repeat: int) -> None:
    points = resample([np.full((repeat, 2), 3.0), np.array([[0.0, 0.0], [1.0, 0.0]])], 3)
    np.testing.assert_array_equal(points[0], np.full((3, 2), 3.0))
    np.testing.assert_allclose(points[1, :, 0], [0.0, 0.5, 1.0])


def test_repeated_vertices_do_not_disturb() -> None:
    plain = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]])
    np.testing.assert_allclose(resample([plain[[0, 0, 1, 1, 1, 2]]], 9), resample([plain], 9))


def test_no_line_gives_no_points() -> None:
    assert resample([], 20).shape == (0, 20, 2)
    with pytest.raises(ValueError, match="no vertex"):
        resample([np.zeros((0, 2))], 20)


def test_length_ignores_height() -> None:
    assert length_m(np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 100.0]])) == pytest.approx(5.0)


def test_closed_needs_an_area() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=float)
    assert is_closed(square)
    assert not is_closed(square[:-1]) and not is_closed(square[[0, 1, 0]])


@pytest.mark.parametrize("directed", [False, True])
def test_an_open_line_has_its_two_directions(directed: bool) -> None:
    orders = equivalent_orders(4, closed=False, directed=directed)
    assert orders.tolist() == [[0, 1, 2, 3]] if directed else [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_every_order_of_a_ring_is_the_same_ring() -> None:
    angles = np.linspace(0, 2 * np.pi, 8)
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    ring[-1] = ring[0]
    orders = equivalent_orders(8, closed=True)
    assert len(orders) == 14 and len({tuple(order) for order in orders.tolist()}) == 14
    np.testing.assert_array_equal(orders[0] % 7, np.arange(8) % 7)
    whole = shapely.polygons(ring)
    for order in orders:
        assert is_closed(ring[order])
        assert shapely.polygons(ring[order]).equals(whole)
    turns = [shapely.is_ccw(shapely.linearrings(ring[order])) for order in equivalent_orders(8, True, directed=True)]
    assert turns == [True] * 7
