import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.geometry.polyline import is_closed, length_m
from mapstack.geometry.se3 import make_transform, transform_points
from mapstack.maps import CLASSES, MapLayer, MapPatch, VectorMap

from .conftest import pose_at, random_map
from .test_clip import strings

WIDE = BEVGrid((-60, -30, -5, 60, 30, 3), 0.3)
PLACES = [(4000.0, 2000.0, 0.0), (4030.0, 1990.0, 1.1), (3960.0, 2040.0, -2.4), (4000.0, 2000.0, 3.0)]


def crop(vector_map: VectorMap, pose: np.ndarray, grid: BEVGrid, **options: object) -> MapPatch:
    return vector_map.crop(pose, grid, classes=CLASSES, **options)


def of_class(patch: MapPatch, label: int) -> list[np.ndarray]:
    return [vertices for vertices, other in zip(patch.vertices, patch.labels, strict=True) if other == label]


def squares(*corners: tuple, size: float = 4.0) -> list[np.ndarray]:
    return [np.array([(x, y), (x + size, y), (x + size, y + size), (x, y + size)], dtype=float) for x, y in corners]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_vertex_is_in_the_patch_and_every_element_whole(place: tuple, dims: int, grid: BEVGrid) -> None:
    patch = crop(random_map(1, dims), pose_at(*place, z=70.0), grid)
    assert len(patch) > 10 and set(patch.labels.tolist()) == {0, 1, 2, 3}
    assert (np.diff(patch.labels) >= 0).all()
    for vertices, closed in zip(patch.vertices, patch.closed, strict=True):
        assert vertices.shape[1] == dims and len(vertices) >= 2 and np.isfinite(vertices).all()
        assert (vertices[:, :2] >= grid.box_xy[:2]).all() and (vertices[:, :2] <= grid.box_xy[2:]).all()
        assert closed == is_closed(vertices)
    assert patch.points(20).shape == (len(patch), 20, dims)


def moved(vector_map: VectorMap, by: np.ndarray) -> VectorMap:
    def move(layer: MapLayer) -> MapLayer:
        shapes = shapely.transform(layer.geometries, lambda xyz: transform_points(by, xyz), include_z=True)
        return MapLayer(shapes, layer.attributes)

    return VectorMap({name: move(layer) for name, layer in vector_map.layers.items()})


@pytest.mark.parametrize("place", PLACES)
def test_a_crop_does_not_depend_on_where_the_world_lies(place: tuple, grid: BEVGrid) -> None:
    vector_map, pose, by = random_map(2), pose_at(*place, z=70.0), pose_at(-300.0, 55.0, 0.9, z=12.0)
    here, there = crop(vector_map, pose, grid), crop(moved(vector_map, by), by @ pose, grid)
    np.testing.assert_array_equal(here.labels, there.labels)
    np.testing.assert_array_equal(here.closed, there.closed)
    for a, b in zip(here.vertices, there.vertices, strict=True):
        if a.shape == b.shape and np.allclose(a, b, atol=1e-6):
            continue
        assert shapely.linestrings(a).hausdorff_distance(shapely.linestrings(b)) < 1e-6  # a ring begun elsewhere


def test_roll_and_pitch_do_not_move_the_patch(grid: BEVGrid) -> None:
    vector_map, level = random_map(3), pose_at(4000.0, 2000.0, 0.5, z=70.0)
    tilted = level @ make_transform(Rotation.from_euler("x", 4, degrees=True).as_matrix(), np.zeros(3))
    for a, b in zip(crop(vector_map, level, grid).vertices, crop(vector_map, tilted, grid).vertices, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_crops_of_two_ranges_agree_where_both_look(place: tuple, grid: BEVGrid) -> None:
    vector_map, pose = random_map(4, dims=2), pose_at(*place)
    near, far = crop(vector_map, pose, grid), crop(vector_map, pose, WIDE)
    assert len(far) > len(near)
    for label in (0, 2, 3):
        small, large = strings(of_class(near, label)), strings(of_class(far, label))
        cut = shapely.clip_by_rect(large, *grid.box_xy)
        assert shapely.length(small) == pytest.approx(shapely.length(cut), abs=1e-6)
        assert small.hausdorff_distance(cut) < 1e-6
    small, large = (shapely.union_all([shapely.polygons(ring) for ring in of_class(p, 1)]) for p in (near, far))
    assert shapely.area(shapely.symmetric_difference(small, shapely.clip_by_rect(large, *grid.box_xy))) < 1e-3


def test_a_crossing_is_always_a_closed_ring_and_a_cut_boundary_is_not(grid: BEVGrid) -> None:
    vector_map = VectorMap(
        {
            "ped_crossing": MapLayer.from_polygons(squares((0, 0), (28, 0))),
            "boundary": MapLayer.from_lines([np.vstack([s, s[:1]]) for s in squares((-10, 0), (-32, 0))]),
        }
    )
    patch = vector_map.crop(np.eye(4), grid)
    assert patch.labels.tolist() == [1, 1, 2, 2] and patch.closed.tolist() == [True, True, True, False]
    cut = shapely.polygons(patch.vertices[1])
    assert cut.equals(shapely.box(28, 0, 30, 4)) and shapely.is_ccw(cut.exterior)
    assert not shapely.is_ccw(shapely.linearrings(patch.vertices[2])), "the road lies on the right of its boundary"
    np.testing.assert_allclose(patch.vertices[3][[0, -1], 0], -30.0)


def test_inset_is_maptrs_open_crossing(grid: BEVGrid) -> None:
    vector_map = VectorMap({"ped_crossing": MapLayer.from_polygons(squares((0, 0), (28, 0)))})
    patch = vector_map.crop(np.eye(4), grid, inset_m=0.2)
    assert patch.closed.tolist() == [True, False] and patch.rules["inset_m"] == "0.2"
    assert patch.vertices[1][:, 0].max() == pytest.approx(29.8)


def test_a_cut_crossing_has_height_on_its_edges_and_in_its_corners(grid: BEVGrid) -> None:
    """A crossing in the plane z = 0.1 x + 0.2 y, with a corner of the patch inside it."""
    corners = np.array([[20.0, 10.0], [40.0, 5.0], [45.0, 30.0], [22.0, 28.0]])
    plane = np.column_stack([corners, corners @ [0.1, 0.2]])
    vector_map = VectorMap({"ped_crossing": MapLayer.from_polygons([plane])})
    (ring,) = vector_map.crop(np.eye(4), grid).vertices
    assert (ring[:, :2] == [30.0, 15.0]).all(1).any()
    np.testing.assert_allclose(ring[:, 2], ring[:, :2] @ [0.1, 0.2], atol=1e-9)


def test_lidar_origin_shifts_the_patch_and_keeps_the_axes(grid: BEVGrid) -> None:
    vector_map, pose = random_map(5), pose_at(4000.0, 2000.0, 0.3, z=70.0)
    ego_from_lidar = make_transform(
        Rotation.from_euler("z", -90, degrees=True).as_matrix(), np.array([0.94, 0.0, 1.84])
    )
    patch = crop(vector_map, pose, grid, ego_from_lidar=ego_from_lidar)
    ahead = crop(vector_map, pose @ make_transform(np.eye(3), np.array([0.94, 0.0, 0.0])), grid)
    assert patch.rules["origin"] == "lidar" and ahead.rules["origin"] == "ego"
    for a, b in zip(patch.vertices, ahead.vertices, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_short_elements_are_left_out_only_when_asked(grid: BEVGrid) -> None:
    lines = [np.array([[0.0, 0.0], [0.3, 0.0]]), np.array([[0.0, 5.0], [9.0, 5.0]])]
    vector_map = VectorMap({"lane_divider": MapLayer.from_lines(lines)})
    assert len(vector_map.crop(np.eye(4), grid)) == 2
    (kept,) = vector_map.crop(np.eye(4), grid, min_length_m=0.5).vertices
    assert length_m(kept) == pytest.approx(9.0)


def test_nothing_in_view_is_a_valid_patch(grid: BEVGrid) -> None:
    for vector_map in (random_map(6), VectorMap({})):
        patch = crop(vector_map, pose_at(-5e4, 0, 0), grid)
        assert len(patch) == 0 and patch.labels.dtype == np.int64 and patch.closed.dtype == bool
        assert patch.points(20).shape[0] == 0


def test_labels_follow_the_classes_asked_for(grid: BEVGrid) -> None:
    vector_map, pose = random_map(7), pose_at(*PLACES[0], z=70.0)
    patch = vector_map.crop(pose, grid, classes=("boundary", "divider"))
    both = vector_map.crop(pose, grid)
    assert patch.classes == ("boundary", "divider")
    assert (patch.labels == 0).sum() == (both.labels == 2).sum() > 0
    assert patch.rules == {"divider": "maptrv2", "crossing": "parallel", "origin": "ego"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("lanes",)}, "lanes"),
        ({"divider_rule": "paint"}, "painted"),
        ({"crossing_rule": "any"}, "parallel"),
    ],
)
def test_unknown_names_are_refused(options: dict, message: str, grid: BEVGrid) -> None:
    with pytest.raises(ValueError, match=message):
        random_map(8).crop(np.eye(4), grid, **options)


def test_a_pose_that_is_not_finite_is_refused(grid: BEVGrid) -> None:
    with pytest.raises(DataError, match="finite"):
        random_map(9).crop(np.full((4, 4), np.nan), grid)
