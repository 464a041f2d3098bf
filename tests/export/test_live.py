"""The live page in a real browser, and the service behind it, on town frames."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import uvicorn

from mapstack.errors import DataError
from mapstack.export.live import GrowingMap, Player, make_app
from mapstack.export.runtime import MapRuntime
from mapstack.export.sensors import SensorFrame

from ..visualization.chromium import Page, browser_path
from .rigs import CAMERAS, Exported

BROKEN = 1  # the frame of the recording whose sensors all failed


def source_of(exported: Exported) -> Callable[[int], SensorFrame]:
    def source(place: int) -> SensorFrame:
        if place == BROKEN:
            raise DataError("cameras/front/1.jpg is no readable image")
        return exported.frame(place)

    return source


@pytest.fixture(scope="module")
def served(town_export: Exported) -> Iterator[tuple[str, Player]]:
    player = Player(MapRuntime(town_export.path), source_of(town_export), 3, min_score=0.0, rate_hz=1000.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(player), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    player.start()
    deadline = time.monotonic() + 120
    while not (server.started and len(player.results) == 3):
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}", player
    player.close()
    server.should_exit = True
    thread.join(20)


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_service_tells_frames_cameras_and_the_map(served: tuple[str, Player], town_export: Exported) -> None:
    url, player = served
    assert json.loads(get(f"{url}/state")[1])["frames"] == 3
    assert json.loads(get(f"{url}/about")[1])["classes"] == ["divider", "ped_crossing", "boundary"]
    frame = json.loads(get(f"{url}/frames/0")[1])
    assert len(frame["elements"]) == 20 and len(frame["points"]) > 1000 and not frame["broken"]
    status, jpeg = get(f"{url}/frames/0/cameras/{CAMERAS[0]}")
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert status == 200 and image.shape == town_export.frame(0).cameras[CAMERAS[0]].image.shape
    assert get(f"{url}/frames/0/cameras/NONE")[0] == 404
    assert get(f"{url}/frames/9")[0] == 404
    status, body = get(f"{url}/frames/{BROKEN}")
    assert status == 422 and "no readable image" in json.loads(body)["detail"]
    grown = json.loads(get(f"{url}/map.geojson")[1])
    assert grown["type"] == "FeatureCollection" and len(grown["features"]) == len(player.map.features) > 0


def test_the_page_shows_cameras_bev_and_map_in_a_browser(
    served: tuple[str, Player], tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser_path()
    url, _ = served
    painted = """(id) => { const canvas = document.getElementById(id);
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.filter((value, i) => i % 4 === 3 && value > 0).length; }"""
    with Page(tmp_path_factory.mktemp("profile")) as page:
        page.open(url)
        page.evaluate(
            "new Promise((done) => { const look = () => document.body.dataset.shown === '2' && "
            "[...document.images].length === 6 && [...document.images].every((i) => i.complete) ? done(1) : "
            "setTimeout(look, 50); look(); })"
        )
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 100)")
        assert page.evaluate(f"({painted})('bev')") > 1000
        assert page.evaluate(f"({painted})('map')") > 100
        text = page.evaluate("document.getElementById('status').textContent")
        assert text.startswith("frame 3 of 3, 20 elements in view") and "network" in text
        assert page.evaluate("document.getElementById('legend').textContent") == "dividerped_crossingboundary"
        assert page.complaints == []
        assert {request.split("/")[2] for request in page.requests} == {url.split("/")[2]}  # nothing leaves the machine


def element(kind: str, line: list) -> dict:
    return {"properties": {"class": kind}, "geometry": {"type": "LineString", "coordinates": line}}


def test_the_map_grows_only_by_what_is_new() -> None:
    grown = GrowingMap()
    line = [[x, 0.5] for x in range(0, 30, 2)]
    assert grown.add({"features": [element("divider", line)]}) == 1
    assert grown.add({"features": [element("divider", [[x, y + 0.3] for x, y in line])]}) == 0
    assert grown.add({"features": [element("boundary", line), element("divider", [[x + 26, y] for x, y in line])]}) == 2


def test_an_empty_recording_is_refused(town_export: Exported) -> None:
    with pytest.raises(DataError, match="no frame to play"):
        Player(MapRuntime(town_export.path), source_of(town_export), 0)


def test_the_page_is_in_the_package() -> None:
    page = Path(__file__).parents[2] / "mapstack/export/live.html"
    assert "http" not in page.read_text().replace("http-equiv", "")
