"""One frame of the report: six cameras with truth and prediction over them, and the patch from above beside each."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry import BEVGrid

from .bev import EGO_OUTLINE, lidar_grid, lidar_picture
from .camera import CameraView, project_segments
from .drawn_map import DrawnMap
from .inline import jpeg_uri, png_uri, svg_path
from .palette import class_color

__all__ = ["ReportFrame", "frame_html"]

CAMERA_WIDTH_PX = 560
UNITS_PER_M = 10  # of a BEV drawing


@dataclass(frozen=True)
class ReportFrame:
    """What is shown of one frame; whatever the sensors did not give is left out.

    Args:
        token: of the frame.
        caption: scene, time, score: the line above the pictures.
        views: the cameras, in reading order.
        points: (M, >= 3) LiDAR points, ego metres, or None.
        truth: None where there is no map.
        prediction: already cut at the score that is worth showing.
        height_m: z of the road in the ego frame.
    """

    token: str
    caption: str
    views: Sequence[CameraView]
    points: NDArray | None
    truth: DrawnMap | None
    prediction: DrawnMap
    height_m: float = 0.0


def _group(kind: str, drawn: DrawnMap, polylines: Iterable[tuple[int, NDArray]]) -> str:
    """One ``<g>`` with a path per class; ``polylines`` are (label, (n, 2) drawing units)."""
    by_label: dict[int, list[NDArray]] = {}
    for label, line in polylines:
        by_label.setdefault(int(label), []).append(line)
    paths = "".join(
        f'<path stroke="{class_color(drawn.classes[label])}" d="{svg_path(lines)}"/>'
        for label, lines in sorted(by_label.items())
    )
    return f'<g class="{kind}">{paths}</g>'


def _camera_group(kind: str, drawn: DrawnMap | None, view: CameraView, height_m: float) -> str:
    if drawn is None:
        return ""
    ends, owners = drawn.segments(height_m)
    pixels, seen = project_segments(ends, view)
    return _group(kind, drawn, zip(np.asarray(drawn.labels)[owners[seen]], pixels, strict=True))


def _camera_html(view: CameraView, frame: ReportFrame) -> str:
    small = view.resized(min(CAMERA_WIDTH_PX, view.size[0]))
    width, height = small.size
    return (
        f'<figure><svg viewBox="-0.5 -0.5 {width} {height}">'
        f'<image x="-0.5" y="-0.5" width="{width}" height="{height}" href="{jpeg_uri(small.image)}"/>'
        + _camera_group("truth", frame.truth, small, frame.height_m)
        + _camera_group("prediction", frame.prediction, small, frame.height_m)
        + f"</svg><figcaption>{html.escape(view.name)}</figcaption></figure>"
    )


def _bev_html(kind: str, drawn: DrawnMap, points_uri: str, grid: BEVGrid) -> str:
    x_min, _, _, y_max = grid.box_xy
    width, height = (side * UNITS_PER_M for side in grid.size_m)

    def units(line: NDArray) -> NDArray:
        return (np.asarray(line, dtype=float)[:, :2] - [x_min, y_max]) * [UNITS_PER_M, -UNITS_PER_M]

    image = f'<image width="{width:g}" height="{height:g}" href="{points_uri}"/>' if points_uri else ""
    lines = _group(
        kind, drawn, ((label, units(line)) for label, line in zip(drawn.labels, drawn.vertices, strict=True))
    )
    car = f'<path style="fill:#d62728" d="{svg_path([units(np.array(EGO_OUTLINE))])}"/>'
    count = f"{kind}, {len(drawn)} element" + ("" if len(drawn) == 1 else "s")
    drawing = f'<svg viewBox="0 0 {width:g} {height:g}">{image}{lines}{car}</svg>'
    return f"<figure>{drawing}<figcaption>{count}</figcaption></figure>"


def frame_html(frame: ReportFrame, grid: BEVGrid) -> str:
    """Lay out one frame: the photographs once, lines as vectors over them, truth and prediction side by side."""
    points_uri = ""
    if frame.points is not None:
        points_uri = png_uri(lidar_picture(frame.points, lidar_grid(grid)))
    bevs = [] if frame.truth is None else [_bev_html("truth", frame.truth, points_uri, grid)]
    bevs.append(_bev_html("prediction", frame.prediction, points_uri, grid))
    cameras = "".join(_camera_html(view, frame) for view in frame.views)
    return (
        f'<section class="frame" id="frame-{html.escape(frame.token)}"><h3>{html.escape(frame.caption)}</h3>'
        + (f'<div class="cameras">{cameras}</div>' if cameras else "")
        + f'<div class="bevs">{"".join(bevs)}</div></section>'
    )
