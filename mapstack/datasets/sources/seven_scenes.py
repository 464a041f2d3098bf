"""Folders of images and poses in the layout of Microsoft's 7-Scenes::

    SCENE/
      TrainSplit.txt, TestSplit.txt    a line a sequence: "sequence1", or the folder's name
      seq-01/frame-000000.color.png    depth images may lie beside them and are not read
      seq-01/frame-000000.pose.txt     4 x 4, world_from_camera, metres

Any folder in this form will do. The index holds the camera's pose as ``world_from_ego``: there is no vehicle. Frames
have no time in this layout; they are taken to be 1/30 s apart.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mapstack.datasets.index import link_frames
from mapstack.errors import DataError

__all__ = ["CAMERA", "FOCAL_PX", "read_frames", "read_parts"]

CAMERA = "color"
FOCAL_PX = 585.0  # the data set's own word for 640 x 480; its images are not calibrated further
FRAME_NS = round(1e9 / 30)
SPLIT_FILES = {"train": "TrainSplit.txt", "val": "TestSplit.txt"}
ORTHONORMAL_TOLERANCE = 1e-2  # published poses are rounded and fused; they are made exact here


def read_parts(root: str | Path) -> dict[str, list[str]]:
    """Scenes of the index (SCENE/seq-01) by part, from the split files; ``all`` where there are none."""
    root = Path(root)
    files = {part: root / name for part, name in SPLIT_FILES.items()}
    if not any(file.is_file() for file in files.values()):
        return {"all": [_name(folder) for folder in _sequences(root)]}
    parts = {}
    for part, file in files.items():
        if not file.is_file():
            raise DataError(f"{file} is missing, and its counterpart is there; write both or none")
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
        parts[part] = [f"{root.name}/{_folder_name(line, file)}" for line in lines]
    shared = set(parts["train"]) & set(parts["val"])
    if shared:
        raise DataError(f"{root}: {min(shared)} stands in TrainSplit.txt and in TestSplit.txt")
    return parts


def read_frames(root: str | Path) -> list[dict]:
    """Read every sequence of a scene.

    Args:
        root: the folder SCENE.

    Returns:
        Frames as :mod:`mapstack.datasets.index` stores them, paths relative to ``root``; no LiDAR, no map.

    Raises:
        DataError: an image has no pose, or a pose is no rigid transform; the message names the file.
    """
    root = Path(root)
    frames = []
    for folder in _sequences(root):
        images = sorted(folder.glob("frame-*.color.png"))
        if not images:
            raise DataError(f"{folder} has no frame-NNNNNN.color.png")
        size = _image_size(images[0])
        frames += [_frame(root, folder, image, size) for image in images]
    return link_frames(frames)


def _sequences(root: Path) -> list[Path]:
    found = sorted(path for path in root.glob("seq-*") if path.is_dir())
    if not found:
        raise DataError(f"{root} has no folder seq-01; 7-Scenes' archives hold one zip a sequence: unpack those, too")
    return found


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _folder_name(line: str, file: Path) -> str:
    number = re.fullmatch(r"sequence(\d+)", line)
    name = f"seq-{int(number[1]):02d}" if number else line
    if not (file.parent / name).is_dir():
        raise DataError(f"{file} names {line}, and there is no folder {file.parent / name}")
    return name


def _frame(root: Path, folder: Path, image: Path, size: tuple[int, int]) -> dict:
    stem = image.name.removesuffix(".color.png")
    width, height = size
    focal = FOCAL_PX * width / 640
    return {
        "token": f"{_name(folder)}/{stem}",
        "scene": _name(folder),
        "timestamp_ns": int(stem.removeprefix("frame-")) * FRAME_NS,
        "location": root.name,
        "split": None,
        "world_from_ego": _read_pose(image.with_name(f"{stem}.pose.txt")),
        "cameras": [
            {
                "name": CAMERA,
                "path": str(image.relative_to(root)),
                "width": width,
                "height": height,
                "timestamp_ns": int(stem.removeprefix("frame-")) * FRAME_NS,
                "intrinsics": np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]),
                "ego_from_camera": np.eye(4),
            }
        ],
        "lidar": None,
        "map_kind": None,
        "map_root": None,
        "map_name": None,
    }


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path} has no readable image header ({error}); unpack it again") from error


def _read_pose(path: Path) -> NDArray:
    try:
        pose = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no readable pose ({error}); every image needs one, 4 x 4 numbers") from error
    if pose.shape != (4, 4) or not np.isfinite(pose).all() or not np.allclose(pose[3], (0, 0, 0, 1)):
        raise DataError(f"{path} holds no 4 x 4 rigid transform: {pose.tolist()}; remove the frame")
    left, stretch, right = np.linalg.svd(pose[:3, :3])
    if np.abs(stretch - 1).max() > ORTHONORMAL_TOLERANCE or np.linalg.det(pose[:3, :3]) < 0:
        raise DataError(f"{path}: its rotation is none, stretched by {stretch.tolist()}; remove the frame")
    pose[:3, :3] = left @ right
    return pose
