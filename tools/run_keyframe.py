"""One real nuScenes keyframe through MapRuntime with NumPy, ONNX Runtime and OpenCV: an example of vehicle code.

python tools/run_keyframe.py MODEL.onnx KEYFRAME_ROOT OUT_DIR [opencv|numpy]
"""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.export.runtime import MapRuntime
from mapstack.export.sensors import CameraImage, LidarSweep, SensorFrame

NUSCENES_ONENORTH = (103.78475189208984, 1.2882100868743724)  # lon, lat of the map frame's zero
US_TO_NS = 1000
POINT_COLUMNS, INTENSITY_MAX = 5, 255.0


def transform(row: dict) -> NDArray:
    """(4, 4) of a nuScenes rotation (quaternion w, x, y, z) and translation."""
    w, x, y, z = np.array(row["rotation"]) / np.linalg.norm(row["rotation"])
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = row["translation"]
    return matrix


def read_frame(root: Path) -> SensorFrame:
    """The keyframe's cameras, moved to the LiDAR's time by the ego motion, and its sweep."""
    tables = {}
    for name in ("sample_data", "calibrated_sensor", "ego_pose"):
        rows = json.loads((root / "v1.0-mini" / f"{name}.json").read_text())
        tables[name] = {row["token"]: row for row in rows}
    data = {Path(row["filename"]).parent.name: row for row in tables["sample_data"].values()}
    pose = {name: transform(tables["ego_pose"][row["ego_pose_token"]]) for name, row in data.items()}
    sensor = {name: tables["calibrated_sensor"][row["calibrated_sensor_token"]] for name, row in data.items()}
    world_from_ego, time_ns = pose["LIDAR_TOP"], data["LIDAR_TOP"]["timestamp"] * US_TO_NS
    cameras = {}
    for name in data.keys() - {"LIDAR_TOP"}:
        image = cv2.cvtColor(cv2.imread(str(root / data[name]["filename"])), cv2.COLOR_BGR2RGB)
        ego_from_camera = np.linalg.inv(world_from_ego) @ pose[name] @ transform(sensor[name])
        cameras[name] = CameraImage(image, np.array(sensor[name]["camera_intrinsic"]), ego_from_camera)
    points = np.fromfile(root / data["LIDAR_TOP"]["filename"], np.float32).reshape(-1, POINT_COLUMNS)
    sweep = LidarSweep(points, transform(sensor["LIDAR_TOP"]), INTENSITY_MAX, time_ns, world_from_ego)
    return SensorFrame(time_ns, world_from_ego, cameras, sweep, token=data["LIDAR_TOP"]["sample_token"])


def main() -> None:
    model, root, out = map(Path, sys.argv[1:4])
    resizer = sys.argv[4] if len(sys.argv) > 4 else "auto"
    print(f"Python {sys.version.split()[0]}; PyTorch here: {importlib.util.find_spec('torch') is not None}")
    runtime = MapRuntime(model, resizer=resizer)
    result = runtime.process(read_frame(root))
    found = result.prediction
    answer = {name: getattr(found, name).tolist() for name in ("points", "labels", "scores")}
    (out / "answer.json").write_text(json.dumps(answer))
    (out / "keyframe.geojson").write_text(json.dumps(result.geojson()))
    (out / "keyframe.osm").write_text(result.lanelet2(NUSCENES_ONENORTH))
    stages = ", ".join(f"{name} {value:.1f} ms" for name, value in result.stages_ms.items())
    print(
        f"{len(found)} elements, best score {found.scores.max(initial=0):.3f}; broken: {dict(result.broken)}; {stages}"
    )


if __name__ == "__main__":
    main()
