import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, make_transform, transform_points
from mapstack.maps import MapPatch
from mapstack.visualization import CameraView, DrawnMap, draw_lidar, draw_map, project_lidar, project_segments
from mapstack.visualization.camera import MARGIN_PX, NEAR_M
from mapstack.visualization.palette import class_rgb

from .conftest import Keyframe

WIDTH, HEIGHT = 640, 360
# Ego x forward, y left, z up seen by a camera 1.5 m above the ego origin that looks forward.
EGO_FROM_CAMERA = make_transform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.0, 0.0, 1.5]))
INTRINSICS = np.array([[400.0, 0, 320], [0, 400, 180], [0, 0, 1]])
COORDINATE = st.floats(-60, 60, allow_nan=False)
POINT = st.tuples(COORDINATE, COORDINATE, st.floats(-3, 3))


def make_view(image: NDArray | None = None, intrinsics: NDArray = INTRINSICS) -> CameraView:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if image is None else image
    return CameraView("front", picture, intrinsics, EGO_FROM_CAMERA)


def test_a_point_on_the_road_lands_where_the_pinhole_says() -> None:
    pixels, depth, kept = project_lidar(np.array([[10.0, 0, 0], [-10, 0, 0], [10, 50, 0]]), make_view())
    np.testing.assert_allclose(pixels, [[320, 180 + 400 * 1.5 / 10]])
    assert depth.tolist() == [10.0] and kept.tolist() == [0]


def test_a_segment_that_passes_the_camera_is_cut_in_front_of_it() -> None:
    ends = np.array([[[-20.0, 0, 0], [20, 0, 0]], [[-20, 1, 0], [-1, 1, 0]], [[0, -5, 0], [0, 5, 0]]])
    pixels, seen = project_segments(ends, make_view())
    assert seen.tolist() == [0]  # one ends behind, one lies in the lens's plane
    bottom, far = pixels[0]
    np.testing.assert_allclose(far, [320, 180 + 400 * 1.5 / 20])
    assert bottom[0] == pytest.approx(320) and bottom[1] == pytest.approx(HEIGHT - 1 + MARGIN_PX)


@settings(max_examples=200, deadline=None)
@given(start=POINT, stop=POINT)
def test_a_cut_segment_is_exactly_the_part_in_the_frustum(start: tuple, stop: tuple) -> None:
    ends = np.array([[start, stop]])
    pixels, seen = project_segments(ends, make_view())
    along = np.linspace(0, 1, 400)[:, None]
    camera = transform_points(invert(EGO_FROM_CAMERA), ends[0, 0] + along * (ends[0, 1] - ends[0, 0]))
    dense, depth = project(camera, INTRINSICS)
    low, high = -MARGIN_PX, np.array([WIDTH, HEIGHT]) - 1 + MARGIN_PX
    inside = (depth >= NEAR_M) & (dense >= low).all(1) & (dense <= high).all(1)
    if len(seen) == 0:  # nothing but a corner shorter than the sampling may be seen
        assert inside.sum() <= 2
        return
    assert np.isfinite(pixels).all() and (pixels >= low - 1e-6).all() and (pixels <= high + 1e-6).all()
    first, last = pixels[0]
    length = max(np.linalg.norm(last - first), 1e-9)
    for point in dense[inside]:  # every visible sample lies between the two ends
        along_px = (point - first) @ (last - first) / length
        assert -1e-3 <= along_px <= length + 1e-3


def test_lines_are_drawn_in_their_colour_at_the_height_asked_for() -> None:
    drawn = DrawnMap([np.array([[10.0, -2], [10.0, 2]])], np.array([0]), ("divider",))
    for height_m in (0.0, -0.4):
        image = draw_map(make_view(), drawn, height_m=height_m, thickness_px=1, dark_edge=False)
        row = round(180 + 400 * (1.5 - height_m) / 10)
        np.testing.assert_allclose(image[row, 320], class_rgb("divider"), atol=40)  # the edges are smoothed
        assert image[row + 5 :].max() == 0 and image[: row - 5].max() == 0


def test_drawing_leaves_the_image_as_it_was_and_bears_nothing_to_draw() -> None:
    view = make_view(np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    empty = DrawnMap([], np.zeros(0, int), ("divider",))
    assert (draw_map(view, empty) == 7).all() and (draw_lidar(view, np.zeros((0, 5))) == 7).all()
    assert draw_lidar(view, np.array([[8.0, 0, 0]])).max() > 7 and (view.image == 7).all()


def test_a_resized_view_sees_the_same() -> None:
    points = np.array([[10.0, 1, 0], [20, -3, 1]])
    big, small = make_view(), make_view().resized(160)
    assert small.size == (160, 90)
    np.testing.assert_allclose((project_lidar(points, small)[0] + 0.5) * 4 - 0.5, project_lidar(points, big)[0])


def test_a_bad_view_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="front: singular"):
        make_view(intrinsics=np.diag([0.0, 400, 1]))
    with pytest.raises(ValueError, match="front: image must be"):
        make_view(np.zeros((4, 4), np.uint8))


def _silhouettes(keyframe: Keyframe, view: CameraView) -> NDArray:
    """Pixels of LiDAR points at the near side of a jump in depth between neighbours on one ring."""
    pixels, depth, kept = project_lidar(keyframe.points, view)
    ring = keyframe.ring[kept]
    order = np.lexsort((pixels[:, 0], ring))
    pixels, depth, ring = pixels[order], depth[order], ring[order]
    jump = (np.diff(ring) == 0) & (np.diff(pixels[:, 0]) < 12) & (np.abs(np.diff(1 / depth)) > 0.02)
    near = np.where(depth[1:] < depth[:-1], np.arange(1, len(depth)), np.arange(len(depth) - 1))
    return np.round(pixels[near[jump]]).astype(int)


def test_lidar_silhouettes_lie_on_image_edges_of_the_real_keyframe(keyframe: Keyframe) -> None:
    shifts = np.arange(-40, 41, 8)
    strength = np.zeros(len(shifts))
    count = 0
    for view in keyframe.views:
        gray = cv2.GaussianBlur(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2)
        edges = np.abs(cv2.Sobel(gray, cv2.CV_32F, 1, 0))
        u, v = _silhouettes(keyframe, view).T
        count += len(u)
        strength += [edges[v, np.clip(u + shift, 0, view.size[0] - 1)].sum() for shift in shifts]
    assert len(keyframe.views) == 6 and count > 300
    assert shifts[strength.argmax()] == 0
    assert strength.max() > 1.2 * strength.mean()


def _paint_under(keyframe: Keyframe, dividers: list[NDArray], shift_m: float) -> float:
    """Mean brightness of CAM_FRONT above its surroundings along real dividers moved sideways."""
    view = next(view for view in keyframe.views if view.name == "CAM_FRONT")
    gray = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    paint = cv2.morphologyEx(gray, cv2.MORPH_TOPHAT, np.ones((1, 61)))
    along = np.linspace(0, 1, 500)[:, None, None]
    lines = [(line[:-1] + along * np.diff(line, axis=0)).reshape(-1, 2) for line in dividers]
    ground = np.concatenate(lines)
    ground = ground[(ground[:, 0] > 5) & (ground[:, 0] < 30) & (np.abs(ground[:, 1]) < 6)]
    pixels, _, _ = project_lidar(np.column_stack([ground + [0, shift_m], np.zeros(len(ground))]), view)
    u, v = pixels.astype(int).T
    return float(paint[v, u].mean())


def test_real_dividers_lie_on_real_paint(keyframe: Keyframe, real_patch: MapPatch) -> None:
    rows = zip(real_patch.vertices, real_patch.labels, strict=True)
    dividers = [line[:, :2] for line, label in rows if real_patch.classes[label] == "divider"]
    assert len(dividers) >= 3
    on_line = max(_paint_under(keyframe, dividers, shift) for shift in (-0.2, 0.0))
    beside = [_paint_under(keyframe, dividers, shift) for shift in (-1.5, -1.0, -0.75, 0.75, 1.0, 1.5)]
    assert on_line > 2.5 * max(beside)
