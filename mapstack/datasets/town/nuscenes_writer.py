"""The tables that hold a nuScenes root together."""

import json
from pathlib import Path

from .nuscenes_map import write_map, write_mask
from .nuscenes_scene import SENSORS, SceneRows
from .tokens import token
from .world import World

__all__ = ["VERSION", "prepare_root", "write_tables"]

VERSION = "v1.0-trainval"
CATEGORIES = ("vehicle.car", "vehicle.truck")
ATTRIBUTES = ("vehicle.moving", "vehicle.stopped", "vehicle.parked")
VISIBILITY = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}
SCENE_TABLES = (
    "scene",
    "log",
    "sample",
    "sample_data",
    "ego_pose",
    "calibrated_sensor",
    "sample_annotation",
    "instance",
)


def prepare_root(root: Path) -> None:
    """Make the folders that the sensors write into."""
    for channel in SENSORS:
        (root / "samples" / channel).mkdir(parents=True, exist_ok=True)
    (root / "sweeps" / "LIDAR_TOP").mkdir(parents=True, exist_ok=True)


def write_tables(root: Path, world: World, scenes: list[SceneRows]) -> None:
    """Write the 13 tables, the map expansion and the street mask."""
    tables = {name: [row for scene in scenes for row in scene.tables.get(name, [])] for name in SCENE_TABLES}
    tables["sensor"] = [
        {"token": token("sensor", name), "channel": name, "modality": "camera" if name.startswith("CAM") else "lidar"}
        for name in SENSORS
    ]
    tables["category"] = [
        {"token": token("category", name), "name": name, "description": "Synthetic.", "index": i}
        for i, name in enumerate(CATEGORIES)
    ]
    tables["attribute"] = [
        {"token": token("attribute", name), "name": name, "description": "Synthetic."} for name in ATTRIBUTES
    ]
    tables["visibility"] = [
        {"token": key, "level": level, "description": f"visibility of the whole object: {level}"}
        for key, level in VISIBILITY.items()
    ]
    mask = token(f"town-{world.seed}", "mask")
    filename = f"maps/{mask}.png"
    tables["map"] = [
        {
            "token": mask,
            "category": "semantic_prior",
            "filename": filename,
            "log_tokens": [log["token"] for log in tables["log"]],
        }
    ]
    folder = root / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    write_map(root, world)
    write_mask(root, world, filename)
