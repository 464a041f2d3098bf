import numpy as np
import pytest

from mapstack.geometry import BEVGrid
from mapstack.visualization import (
    BEVPanel,
    DrawnMap,
    draw_bev,
    feature_colors,
    feature_strength,
    heat_picture,
    lidar_picture,
)
from mapstack.visualization.bev import lidar_grid
from mapstack.visualization.palette import class_color, class_rgb

GRID = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)


def test_lidar_picture_has_the_largest_y_at_the_top() -> None:
    grid = BEVGrid((-3, -2, -5, 3, 2, 3), 1.0)
    picture = lidar_picture(np.array([[2.5, 1.5, 0], [-2.5, -1.5, 0], [50, 0, 0], [0, -50, 0]]), grid)
    dark = np.argwhere(picture < 255).tolist()
    assert picture.shape == (4, 6) and dark == [[0, 5], [3, 0]]
    assert (lidar_picture(np.zeros((0, 5)), grid) == 255).all()


def test_heat_picture_spans_its_colours_and_greys_what_is_no_number() -> None:
    picture = heat_picture(np.array([[0.0, np.nan], [1.0, 0.5]]))
    assert picture[1, 1].tolist() == [128] * 3
    brightness = picture.astype(int).sum(-1)
    assert brightness[0, 0] > brightness[0, 1] > brightness[1, 0]  # 1.0, 0.5, 0.0 with row 0 at the bottom
    assert (heat_picture(np.full((2, 2), np.nan)) == 128).all()
    with pytest.raises(ValueError, match="rows, cols"):
        heat_picture(np.zeros((2, 2, 3)))


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_features_that_differ_get_different_colours(channels: int) -> None:
    features = np.zeros((channels, 4, 6))
    features[0, :2] = 1.0
    colors = feature_colors(features)
    assert colors.shape == (4, 6, 3)
    assert (colors[:2] == colors[0, 0]).all() and (colors[2:] == colors[3, 0]).all()
    assert (colors[0, 0] != colors[3, 0]).any()
    assert feature_strength(features)[:, 0].tolist() == [1, 1, 0, 0]


def test_panels_stand_side_by_side_and_show_the_classes_in_their_colours() -> None:
    lines = [np.array([[-20.0, 10], [20, 10]]), np.array([[-20.0, -10, 1], [20, -10, 1]])]
    truth = DrawnMap(lines, np.array([0, 1]), ("divider", "boundary"))
    prediction = DrawnMap(lines[:1], np.array([0]), ("divider", "boundary"), np.array([0.8]))
    panels = [BEVPanel("truth", truth, np.zeros((3, 5))), BEVPanel("prediction", prediction, heat=np.eye(100, 200))]
    image = draw_bev(GRID, panels, panel_width_px=400)
    assert image.dtype == np.uint8 and image.shape[1] == 800 and image.shape[2] == 3
    # The legend below holds every colour once more, so only the height of the panels is searched.
    axes = image[:200]
    near = [(np.abs(axes.astype(int) - class_rgb(name)).max(-1) < 12).any(0) for name in ("divider", "boundary")]
    assert near[0][:400].any() and near[0][400:].any()
    assert near[1][:400].any() and not near[1][400:].any()


def test_a_patch_without_any_element_is_drawn() -> None:
    image = draw_bev(GRID, [BEVPanel("nothing", DrawnMap([], np.zeros(0, int), ("divider",)))])
    assert image.std() > 0
    with pytest.raises(ValueError, match="at least one"):
        draw_bev(GRID, [])


def test_the_grid_for_points_covers_the_same_patch() -> None:
    for cell_m in (0.1, 0.15, 0.3, 0.5, 0.6, 1.0):
        fine = lidar_grid(BEVGrid(GRID.pc_range, cell_m))
        assert fine.pc_range == GRID.pc_range and 0.05 < fine.cell_m <= 0.2 + 1e-9


def test_colours_are_told_apart_and_do_not_depend_on_the_run() -> None:
    assert len({class_color(name) for name in ("divider", "ped_crossing", "boundary", "centerline")}) == 4
    assert class_color("stop_line") == class_color("stop_line") and class_rgb("divider") == (255, 140, 0)
