import numpy as np
import pytest
import torch

from mapstack.geometry import BEVGrid

GRID = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)


def test_rows_count_y_and_columns_count_x() -> None:
    assert GRID.shape == (100, 200)
    assert GRID.centers().shape == (100, 200, 2)
    np.testing.assert_allclose(GRID.centers()[0, 0], [-29.85, -14.85])
    np.testing.assert_allclose(GRID.centers()[-1, 0], [-29.85, 14.85])


def test_cell_of_a_centre_is_its_index() -> None:
    rows, cols = np.meshgrid(np.arange(100), np.arange(200), indexing="ij")
    np.testing.assert_array_equal(GRID.cells(GRID.centers()), np.stack([rows, cols], -1))


def test_a_point_just_outside_has_no_cell_inside() -> None:
    cells = GRID.cells(np.array([[-30.01, 0.0], [0.0, -15.01], [30.0, 0.0]]))
    assert cells[0, 1] == -1 and cells[1, 0] == -1 and cells[2, 1] == 200


def test_patch_and_ego_are_inverse_for_numpy_and_torch() -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (7, 3))
    patch = GRID.patch_from_ego(points)
    np.testing.assert_allclose(GRID.ego_from_patch(patch), points)
    np.testing.assert_allclose(GRID.patch_from_ego(torch.from_numpy(points)).numpy(), patch)
    np.testing.assert_array_equal(GRID.cells(torch.from_numpy(points)).numpy(), GRID.cells(points))
    np.testing.assert_allclose(GRID.patch_from_ego(np.array([[-30.0, 15.0]])), [[0.0, 1.0]])


def test_contains_looks_at_height_and_leaves_the_upper_edge_out() -> None:
    points = np.array([[0, 0, 0], [0, 0, 4], [30, 0, 0], [-30, -15, -5]], dtype=float)
    np.testing.assert_array_equal(GRID.contains(points), [True, False, False, True])


@pytest.mark.parametrize(
    ("pc_range", "cell_m"),
    [((-30, -15, 30, 15), 0.3), ((30, -15, -5, -30, 15, 3), 0.3), ((-30, -15, -5, 30, 15, 3), 0.7), ((0,) * 6, 0.0)],
    ids=["four numbers", "swapped", "part of a cell", "no cell"],
)
def test_a_bad_range_is_refused(pc_range: tuple, cell_m: float) -> None:
    with pytest.raises(ValueError, match="pc_range|cell"):
        BEVGrid(pc_range, cell_m)


def test_with_cell_keeps_the_patch() -> None:
    assert GRID.with_cell(0.6).shape == (50, 100)
    assert GRID.with_cell(0.6).pc_range == GRID.pc_range
