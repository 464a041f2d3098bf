import numpy as np
import pytest

from mapstack.geometry import BEVGrid
from mapstack.maps import MapPatch
from mapstack.maps.raster import draw

GRID = BEVGrid((-30, -15, -5, 30, 15, 3), 0.5)


def patch_of(*lines: list, labels: list[int]) -> MapPatch:
    vertices = [np.array(line, dtype=float) for line in lines]
    return MapPatch(vertices, np.array(labels), np.zeros(len(lines), bool), ("divider", "boundary"), {})


def test_rows_follow_y_and_columns_follow_x() -> None:
    mask = draw(patch_of([[-30, 10.25], [30, 10.25]], [[5.25, -15], [5.25, 15]], labels=[0, 1]), GRID, 1, 2)
    assert mask.shape == (2, *GRID.shape) and mask.dtype == np.uint8 and mask.max() == 1
    row = int(GRID.cells(np.array([[0.0, 10.25]]))[0, 0])
    assert (np.flatnonzero(mask[0].any(1)) == [row]).all() and mask[0, row].all()
    col = int(GRID.cells(np.array([[5.25, 0.0]]))[0, 1])
    assert (np.flatnonzero(mask[1].any(0)) == [col]).all() and mask[1, :, col].all()


def test_the_drawn_cells_are_those_of_the_points() -> None:
    line = np.column_stack([np.linspace(-28, 28, 500), 12 * np.sin(np.linspace(0, 5, 500))])
    mask = draw(patch_of(line, labels=[0]), GRID, 3, 1)
    cells = GRID.cells(line)
    assert mask[0][cells[:, 0], cells[:, 1]].all()


def test_thickness_is_opencvs_pen_and_an_empty_patch_is_blank() -> None:
    line = [[-20, 0.25, 3.0], [20, 0.25, 9.0]]
    assert [draw(patch_of(line, labels=[0]), GRID, pen, 1)[0, :, 60].sum() for pen in (1, 2, 3)] == [1, 3, 5]
    assert draw(patch_of(labels=[]), GRID, 1, 2).sum() == 0
    with pytest.raises(ValueError, match="thickness"):
        draw(patch_of(line, labels=[0]), GRID, 0, 1)
