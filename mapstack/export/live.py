"""A recording played through the runtime, watched in a browser: cameras, BEV, and the map as it grows.

FastAPI is an extra (``pip install mapstack[serve]``). The page asks for what it shows; nothing leaves the machine.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.se3 import planar_pose, transform_points

from .runtime import MapRuntime, RuntimeResult
from .sensors import SensorFrame

__all__ = ["GrowingMap", "Player", "make_app"]

PAGE = Path(__file__).with_name("live.html")
FrameSource = Callable[[int], SensorFrame]
MAX_POINTS = 4000  # LiDAR points sent to the page


class GrowingMap:
    """Elements of a drive in world metres, each part of the road once.

    A new element is kept where most of it lies on ground that no kept element of its class has covered.

    Args:
        cell_m: ground is covered in cells of this size.
    """

    def __init__(self, cell_m: float = 1.5) -> None:
        self.features: list[dict] = []
        self._covered: set[tuple[str, int, int]] = set()
        self._cell_m = cell_m

    def add(self, collection: dict) -> int:
        """Add a frame's FeatureCollection; how many elements were new."""
        before = len(self.features)
        for feature in collection["features"]:
            geometry, kind = feature["geometry"], feature["properties"]["class"]
            line = geometry["coordinates"][0] if geometry["type"] == "Polygon" else geometry["coordinates"]
            cells = {(kind, *cell) for cell in np.floor(np.array(line)[:, :2] / self._cell_m).astype(int).tolist()}
            if len(cells - self._covered) * 2 > len(cells):
                self.features.append(feature)
            self._covered |= cells
        return len(self.features) - before


class Player:
    """Runs a recording's frames one after the other in a thread of its own.

    Args:
        runtime: the model.
        source: gives the frame at a place.
        count: frames in the recording.
        min_score: elements below are not shown.
        rate_hz: frames a second at most.
    """

    def __init__(
        self, runtime: MapRuntime, source: FrameSource, count: int, min_score: float = 0.3, rate_hz: float = 2.0
    ) -> None:
        if count < 1:
            raise DataError("the recording has no frame to play")
        self.runtime, self.source, self.count = runtime, source, count
        self.min_score, self.rate_hz = min_score, rate_hz
        # What the page shows of each frame, or why it could not be used; of images only the last frame's are kept.
        self.results: list[dict | str] = []
        self._last: tuple[int, SensorFrame] | None = None
        self.map = GrowingMap()
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._play, name="mapstack-player", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the frame at work."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _play(self) -> None:
        for place in range(self.count):
            if self._stop.is_set():
                return
            self.step(place)
            self._stop.wait(1 / self.rate_hz)

    def step(self, place: int) -> None:
        """Run one frame."""
        try:
            frame = self.source(place)
            result = self.runtime.process(frame, self.min_score)
        except DataError as error:
            with self._lock:
                self.results.append(str(error))
            return
        with self._lock:
            self._last = (place, frame)
            self.map.add(result.geojson())
            self.results.append(_describe(result))

    def image(self, place: int, name: str) -> NDArray | None:
        """A camera's raw image; None where the frame has no such camera."""
        last = self._last
        frame = last[1] if last is not None and last[0] == place else self.source(place)
        return frame.cameras[name].image if name in frame.cameras else None

    def state(self) -> dict:
        """How far it is."""
        with self._lock:
            return {"frames": len(self.results), "count": self.count, "elements": len(self.map.features)}

    def map_geojson(self) -> dict:
        """The map so far, world metres."""
        with self._lock:
            about = {"version": 1, "name": "live", "source": "prediction", "units": "world metres"}
            return {"type": "FeatureCollection", "mapstack": about, "features": list(self.map.features)}


def _describe(result: RuntimeResult) -> dict:
    found, frame = result.prediction, result.frame
    elements = [
        {
            "class": result.classes[label],
            "score": round(float(score), 3),
            "points": np.round(line.astype(float), 2).tolist(),
        }
        for line, label, score in zip(found.points, found.labels, found.scores, strict=True)
    ]
    pose = planar_pose(frame.world_from_ego)
    return {
        "token": frame.name,
        "scene": frame.scene,
        "elements": elements,
        "cameras": list(frame.cameras),
        "position": pose[:2, 3].tolist(),
        "yaw": float(np.arctan2(pose[1, 0], pose[0, 0])),
        "points": _points(frame).tolist(),
        "broken": dict(result.broken),
        "reset": result.reset,
        "stages_ms": {name: round(value, 2) for name, value in result.stages_ms.items()},
    }


def _points(frame: SensorFrame) -> NDArray:
    """(M, 2) ego metres of at most ``MAX_POINTS`` of the frame's LiDAR points."""
    if frame.lidar is None:
        return np.zeros((0, 2))
    xyz = np.asarray(frame.lidar.points)[:: max(len(frame.lidar.points) // MAX_POINTS, 1), :3].astype(float)
    return np.round(transform_points(frame.lidar.ego_from_lidar, xyz)[:, :2], 1)


def _jpeg(image: NDArray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _result_at(player: Player, place: int) -> dict:
    if not 0 <= place < len(player.results):
        raise HTTPException(404, f"frame {place} was not played yet; there are {len(player.results)}")
    result = player.results[place]
    if isinstance(result, str):
        raise HTTPException(422, result)
    return result


def make_app(player: Player) -> FastAPI:
    """The service: ``/`` the page, ``/about``, ``/state``, ``/frames/N``, its ``/cameras/NAME``, ``/map.geojson``."""
    app = FastAPI(title="mapstack", docs_url=None, redoc_url=None)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text(encoding="utf-8")

    @app.get("/about")
    def about() -> dict:
        metadata = player.runtime.metadata
        return {
            "classes": metadata.classes,
            "box": metadata.grid.box_xy,
            "cameras": metadata.cameras,
            "version": metadata.version,
        }

    @app.get("/state")
    def state() -> dict:
        return player.state()

    @app.get("/frames/{place}")
    def frame(place: int) -> dict:
        return _result_at(player, place)

    @app.get("/frames/{place}/cameras/{name}")
    def camera(place: int, name: str) -> Response:
        names = _result_at(player, place)["cameras"]
        image = player.image(place, name) if name in names else None
        if image is None:
            raise HTTPException(404, f"frame {place} has no camera {name}; it has {', '.join(names) or 'none'}")
        return Response(_jpeg(image), media_type="image/jpeg")

    @app.get("/map.geojson")
    def grown_map() -> dict:
        return player.map_geojson()

    return app
