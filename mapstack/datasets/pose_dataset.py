"""Frames of drives with the pose of one camera, for localisation: any index that has that camera."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.datasets.index import Index, read_index
from mapstack.datasets.map_dataset import MapDataset
from mapstack.errors import ConfigError, DataError
from mapstack.registry import DATASETS

__all__ = ["CAMERA_FROM_BODY", "Drive", "PoseDataset"]

NS_TO_S = 1e-9
# A vehicle's axes (x forward, y left, z up) at the place of a camera (x right, y down, z forward).
CAMERA_FROM_BODY = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Drive:
    """One drive in order of time.

    Args:
        scene: its name.
        labelled: whether its poses may be learned from.
        tokens: (N,) names of its frames.
        times_s: (N,) since its first frame.
        poses: (N, 4, 4) float64 world_from_body.
        cameras: (N,) the camera's entry of the index, path absolute.
    """

    scene: str
    labelled: bool
    tokens: tuple[str, ...]
    times_s: NDArray
    poses: NDArray
    cameras: tuple[dict, ...]


@DATASETS.register_module()
class PoseDataset(MapDataset):
    """Frames of one camera, each with the drive that it belongs to; ``ChooseFrames`` makes tuples of them.

    The pose is the camera's at its own time (the index holds the ego motion in between), so that it is what the image
    shows. Metainfo ``pose_origin`` (3,) and ``pose_scale_m``: mean and spread of the labelled places.

    Args:
        ann_file: the index, Parquet.
        pipeline: transforms, ``ChooseFrames`` among the first and ``PackPoses`` the last.
        camera: its name in the index; None takes the frame's only one.
        body_axes: True gives poses in a vehicle's axes at the camera's place, False in the camera's own.
        unlabelled_ann_file: an index of further drives, whose poses are not to be learned from.
        kwargs: as :class:`MapDataset` has them; ``data_root`` is for both indexes.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable] = (),
        camera: str | None = None,
        body_axes: bool = True,
        unlabelled_ann_file: str | None = None,
        **kwargs: object,
    ) -> None:
        self.camera, self.body_axes, self.unlabelled_ann_file = camera, body_axes, unlabelled_ann_file
        self.drives: list[Drive] = []
        super().__init__(ann_file, pipeline, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the drives of both indexes, and list every frame by its drive and its place in it."""
        self.drives = _read_drives(self.index, self.camera, self.body_axes, True)
        if self.unlabelled_ann_file is not None:
            unlabelled = read_index(self.unlabelled_ann_file, self._index_root)
            self.drives += _read_drives(unlabelled, self.camera, self.body_axes, False)
        names = [drive.scene for drive in self.drives]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"drive {twice} stands in {self.ann_file} and in {self.unlabelled_ann_file}")
        places = np.concatenate([drive.poses[:, :3, 3] for drive in self.drives if drive.labelled])
        self._metainfo["pose_origin"] = places.mean(0).tolist()
        self._metainfo["pose_scale_m"] = float(max(places.std(0).max(), 1e-3))
        return [
            {"drive": number, "place": place, "token": token}
            for number, drive in enumerate(self.drives)
            for place, token in enumerate(drive.tokens)
        ]

    def get_data_info(self, idx: int) -> dict:
        """One frame's name, and its drive."""
        self.full_init()
        item = self.data_list[idx]
        drive = self.drives[item["drive"]]
        return {
            "token": item["token"],
            "scene": drive.scene,
            "timestamp_ns": round(drive.times_s[item["place"]] / NS_TO_S),
            "labelled": drive.labelled,
            "drive": drive,
            "place": item["place"],
            "sample_idx": idx,
        }


def _read_drives(index: Index, camera: str | None, body_axes: bool, labelled: bool) -> list[Drive]:
    scenes, times = np.array(index.column("scene")), np.array(index.column("timestamp_ns"), np.int64)
    tokens, cameras = index.column("token"), index.column("cameras")
    world_from_ego = np.array(index.column("world_from_ego"), np.float64).reshape(-1, 4, 4)
    drives = []
    for scene in sorted(set(scenes.tolist())):
        rows = np.flatnonzero(scenes == scene)
        rows = rows[np.argsort(times[rows], kind="stable")]
        found = [_camera(cameras[row], camera, tokens[row], index) for row in rows]
        poses = world_from_ego[rows] @ np.stack([item["ego_from_camera"] for item in found])
        bad = np.flatnonzero(~np.isfinite(poses).all((1, 2)))
        if len(bad):
            raise DataError(f"{index.path}: frame {tokens[rows[bad[0]]]} has a pose that is not finite; leave it out")
        drives.append(
            Drive(
                scene=scene,
                labelled=labelled,
                tokens=tuple(tokens[row] for row in rows),
                times_s=(times[rows] - times[rows[0]]) * NS_TO_S,
                poses=poses @ CAMERA_FROM_BODY if body_axes else poses,
                cameras=tuple(found),
            )
        )
    return drives


def _camera(cameras: list[dict], name: str | None, token: str, index: Index) -> dict:
    chosen = [item for item in cameras if name is None or item["name"] == name]
    if len(chosen) != 1:
        names = ", ".join(item["name"] for item in cameras) or "none"
        raise DataError(f"{index.path}: frame {token} has cameras {names}; set PoseDataset(camera=...) to one of them")
    (camera,) = chosen
    return {
        **camera,
        "path": str(index.data_root / camera["path"]),
        "intrinsics": np.array(camera["intrinsics"]).reshape(3, 3),
        "ego_from_camera": np.array(camera["ego_from_camera"]).reshape(4, 4),
    }
