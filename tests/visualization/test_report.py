import functools
import http.server
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform
from mapstack.visualization import (
    CameraView,
    DrawnMap,
    PRCurve,
    Report,
    ReportFrame,
    Table,
    choose_frames,
    curves_svg,
    render_report,
    write_report,
)

from .chromium import Page, browser_path

CLASSES = ("divider", "ped_crossing", "boundary")
GRID = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)
LIMIT_BYTES = 8_000_000


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the tests watch the browser's side."""


def make_frame(token: str, size: tuple[int, int] = (400, 225)) -> ReportFrame:
    """A frame of noise, which is the hardest to compress that a camera can deliver."""
    rng = np.random.default_rng(sum(token.encode()))
    width, height = size
    intrinsics = np.array([[width * 0.8, 0, width / 2], [0, width * 0.8, height / 2], [0, 0, 1.0]])
    views = []
    for index in range(6):
        yaw = index * np.pi / 3
        forward = np.array([np.cos(yaw), np.sin(yaw), 0])
        rotation = np.stack([[forward[1], -forward[0], 0], [0, 0, -1], forward], axis=1)
        smooth = np.kron(rng.integers(0, 255, (height // 5, width // 5, 3)), np.ones((5, 5, 1))).astype(np.uint8)
        views.append(CameraView(f"CAM_{index}", smooth, intrinsics, make_transform(rotation, np.array([0, 0, 1.5]))))
    lines = [np.array([[-30.0, y], [30.0, y]]) for y in (-4.0, 0.0, 4.0)]
    truth = DrawnMap(lines, np.array([2, 0, 2]), CLASSES)
    prediction = DrawnMap([line + 0.3 for line in lines], np.array([2, 0, 2]), CLASSES, np.array([0.9, 0.5, 0.4]))
    points = rng.uniform([-30, -15, -2], [30, 15, 2], (30_000, 3))
    return ReportFrame(token, f"scene <{token}>", views, points, truth, prediction)


def make_report(size: tuple[int, int] = (400, 225), num_frames: int = 2) -> Report:
    recall = np.linspace(0, 0.8, 2_000)
    curves = [PRCurve(name, f"{t} m", recall, 1 - recall / 2, 0.4) for name in CLASSES for t in (0.5, 1.0, 1.5)]
    return Report(
        title="Report <script>alert(1)</script>",
        headline=("maptr/mAP", 0.412),
        facts={"config": "configs/a.py", "frames": "42"},
        protocol={"name": "maptr", "points": "100 on both sides", "divider rule": "maptrv2"},
        grid=GRID,
        classes=CLASSES,
        tables=[
            Table("Per class", ["class", "AP"], [["divider", "0.4"]]),
            Table("By range", ["m", "mAP"], [["0-10", "1"]]),
        ],
        curves=curves,
        worst=[make_frame(f"w{i}", size) for i in range(num_frames)],
        best=[make_frame(f"b{i}", size) for i in range(num_frames)],
    )


@pytest.fixture(scope="module")
def report_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    write_report(make_report(), path)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser_path()
    with Page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def server(report_path: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(report_path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def outside(page: Page, url: str) -> list[str]:
    return [request for request in page.requests if request != url and not request.startswith("data:")]


def test_the_browser_asks_for_nothing_but_the_page(page: Page, server: str) -> None:
    page.requests.clear()
    page.complaints.clear()
    url = f"{server}/report.html"
    page.open(url)
    assert url in page.requests and outside(page, url) == []
    assert page.complaints == []
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )


def test_the_watch_on_requests_sees_one(page: Page, server: str, report_path: Path) -> None:
    (report_path.parent / "leaky.html").write_text("<img src='/missing.png'>")
    page.requests.clear()
    page.open(f"{server}/leaky.html")
    assert f"{server}/missing.png" in outside(page, f"{server}/leaky.html")


def test_every_picture_decodes_and_lines_lie_over_the_cameras(page: Page, report_path: Path) -> None:
    page.open(report_path.as_uri())
    decode = """Promise.all([...document.querySelectorAll('image')].map(node => {
        const picture = new Image(); picture.src = node.getAttribute('href');
        return picture.decode().then(() => picture.naturalWidth); }))"""
    widths = page.evaluate(decode)
    assert len(widths) == 4 * (6 + 2) and min(widths) == 400
    assert page.evaluate("document.querySelectorAll('.cameras .truth path').length") > 4 * 6
    assert page.evaluate("document.querySelectorAll('.cameras .prediction path').length") > 4 * 6
    assert page.evaluate("document.querySelector('.curves svg').getBoundingClientRect().width") > 300
    assert "AP 0.400" in page.evaluate("document.querySelector('.curves').textContent")


def test_truth_and_prediction_stand_side_by_side_and_the_page_fits(page: Page, report_path: Path) -> None:
    page.open(report_path.as_uri())
    boxes = page.evaluate(
        "[...document.querySelectorAll('.frame .bevs')].map(row => [...row.children].map(f => "
        "[f.getBoundingClientRect().top, f.getBoundingClientRect().left, f.textContent]))"
    )
    for truth, prediction in boxes:
        assert truth[0] == prediction[0] and truth[1] < prediction[1]
        assert truth[2] == "truth, 3 elements" and prediction[2] == "prediction, 3 elements"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_tick_hides_what_it_names(page: Page, report_path: Path) -> None:
    page.open(report_path.as_uri())
    for box, target in (("truth", ".cameras .truth"), ("prediction", ".cameras .prediction"), ("lidar", ".bevs image")):
        shown = f"getComputedStyle(document.querySelector('{target}')).display"
        assert page.evaluate(shown) != "none"
        page.evaluate(f"document.getElementById('show-{box}').click()")
        assert page.evaluate(shown) == "none"


def test_text_is_escaped_and_the_protocol_is_stated(page: Page, report_path: Path) -> None:
    page.open(report_path.as_uri())
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("document.title") == "Report <script>alert(1)</script>"
    text = page.evaluate("document.body.innerText")
    for piece in ("100 on both sides", "maptrv2", "0.412", "By range", "scene <w0>", "Worst frames", "Best frames"):
        assert piece in text


def test_a_page_of_full_size_cameras_stays_small(tmp_path: Path) -> None:
    frames = make_report(size=(1600, 900), num_frames=1)
    eight = replace(frames, worst=list(frames.worst) * 4, best=list(frames.best) * 4)
    assert write_report(eight, tmp_path / "report.html") < LIMIT_BYTES


def test_a_report_needs_no_camera_no_lidar_and_no_truth() -> None:
    bare = replace(make_frame("a"), views=[], points=None, truth=None)
    text = render_report(replace(make_report(), worst=[bare], best=[], curves=[], tables=[]))
    assert "<image" not in text and 'class="cameras"' not in text and 'class="prediction"' in text


def test_worst_and_best_share_no_frame_and_leave_out_what_has_no_score() -> None:
    scores = {"a": 0.5, "b": 0.1, "c": math.nan, "d": 0.9, "e": 0.1}
    assert choose_frames(scores, 2) == (["b", "e"], ["d", "a"])
    assert choose_frames(scores, 9) == (["b", "e"], ["d", "a"])
    assert choose_frames({"a": 1.0}, 3) == (["a"], []) and choose_frames({}, 3) == ([], [])


def test_curves_of_many_points_stay_small_and_the_same() -> None:
    recall = np.linspace(0, 1, 300_000)
    curve = PRCurve("divider", "0.5 m", recall, np.ones_like(recall), 0.9)
    text = curves_svg([curve, replace(curve, threshold="1.0 m"), PRCurve("boundary", "0.5 m", [], [], 0.0)])
    assert text == curves_svg([curve, replace(curve, threshold="1.0 m"), PRCurve("boundary", "0.5 m", [], [], 0.0)])
    assert text.startswith("<svg") and len(text) < 120_000 and "0.5 m: AP 0.900" in text


def test_a_table_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Per class"):
        render_report(replace(make_report(), worst=[], best=[], tables=[Table("Per class", ["a", "b"], [["x"]])]))
