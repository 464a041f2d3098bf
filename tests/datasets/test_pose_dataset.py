from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mapstack.datasets import PoseDataset, read_index, write_index
from mapstack.datasets.index import link_frames
from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import seven_scenes
from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import invert, make_transform, rotation_z

from ..engine.processes import run_tool

EGO_FROM_CAMERA = make_transform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([1.5, 0.2, 1.4]))
SECOND_NS = 1_000_000_000


def world_from_ego(drive: int, frame: int) -> NDArray:
    return make_transform(rotation_z(0.1 * frame + drive), np.array([100.0 * drive + 4 * frame, 50.0, 1.0]))


def write_drives(root: Path, name: str, drives: list[int], frames: int = 6) -> Path:
    """Images are one grey each: 40 times the drive plus the frame."""
    rows = []
    for drive in drives:
        for frame in range(frames):
            path = root / f"{drive}-{frame}.png"
            cv2.imwrite(str(path), np.full((20, 40, 3), 40 * drive + frame, np.uint8))
            camera = {"name": "front", "path": path.name, "width": 40, "height": 20, "timestamp_ns": 0}
            calibration = {"intrinsics": np.diag([30.0, 30.0, 1.0]), "ego_from_camera": EGO_FROM_CAMERA}
            row = {"token": f"{drive}-{frame}", "scene": f"drive-{drive}", "timestamp_ns": frame * SECOND_NS // 2}
            none = dict.fromkeys(("split", "lidar", "map_kind", "map_root", "map_name"))
            rows.append({**row, **none, "location": "x", "cameras": [{**camera, **calibration}]})
            rows[-1]["world_from_ego"] = world_from_ego(drive, frame)
    write_index(root / f"{name}.parquet", link_frames(rows), dataset="recording", data_root=root)
    return root / f"{name}.parquet"


MEASURE = [{"type": "SimulateOdometry"}, {"type": "SimulateGnss", "sigma_m": 2.0}]


def dataset(path: Path, *first: dict, unlabelled: Path | None = None, **choose: object) -> PoseDataset:
    steps = [*first, {"type": "ChooseFrames", **choose}, {"type": "LoadImages"}, {"type": "PackPoses"}]
    return PoseDataset(str(path), steps, "front", unlabelled_ann_file=str(unlabelled) if unlabelled else None)


def greys(packed: dict) -> list[int]:
    return packed["inputs"]["images"][:, 0, 0, 0].tolist()


def test_images_and_poses_of_a_tuple_belong_together(tmp_path: Path) -> None:
    frames = dataset(write_drives(tmp_path, "train", [1, 2]), steps=3, skip=2)
    assert len(frames) == 12
    packed = frames[9]  # drive 2, frame 3
    sample = packed["data_samples"]
    assert greys(packed) == [81, 83, 85]
    assert sample.tokens == ["2-1", "2-3", "2-5"] and sample.token == "2-3" and sample.place == 1
    for step, frame in enumerate((1, 3, 5)):
        pose = sample.poses[step].numpy()
        np.testing.assert_allclose(pose[:3, 3], (world_from_ego(2, frame) @ EGO_FROM_CAMERA)[:3, 3])
        np.testing.assert_allclose(pose[:3, :3], rotation_z(0.1 * frame + 2), atol=1e-12)  # a vehicle's axes


def test_camera_axes_and_the_statistics_of_labelled_places(tmp_path: Path) -> None:
    path, other = write_drives(tmp_path, "train", [1]), write_drives(tmp_path, "more", [2])
    steps = [{"type": "ChooseFrames", "steps": 1}, {"type": "LoadImages"}, {"type": "PackPoses"}]
    frames = PoseDataset(str(path), steps, body_axes=False, unlabelled_ann_file=str(other))
    pose = frames[0]["data_samples"].poses[0].numpy()
    np.testing.assert_allclose(pose, world_from_ego(1, 0) @ EGO_FROM_CAMERA)
    places = np.stack([(world_from_ego(1, i) @ EGO_FROM_CAMERA)[:3, 3] for i in range(6)])
    np.testing.assert_allclose(frames.metainfo["pose_origin"], places.mean(0))
    assert frames.metainfo["pose_scale_m"] == pytest.approx(places.std(0).max())


def test_tuples_stop_at_the_ends_of_a_drive(tmp_path: Path) -> None:
    frames = dataset(write_drives(tmp_path, "train", [1, 2]), steps=3, skip=2)
    assert greys(frames[0]) == [40, 40, 42]
    assert greys(frames[5]) == [43, 45, 45]
    assert greys(frames[6]) == [80, 80, 82]


def test_variable_gaps_come_from_the_seed_of_the_sample(tmp_path: Path) -> None:
    frames = dataset(write_drives(tmp_path, "train", [1], frames=12), steps=3, skip=4, variable_skip=True)
    drawn = {tuple(greys(frames[6, seed])) for seed in range(40)}
    assert {b - a for a, b, _ in drawn} == {c - b for _, b, c in drawn} == {1, 2, 3, 4}
    assert greys(frames[6, 7]) == greys(frames[6, 7])


def test_unlabelled_drives_keep_their_poses_to_themselves(tmp_path: Path) -> None:
    path, more = write_drives(tmp_path, "train", [1]), write_drives(tmp_path, "more", [2])
    frames = dataset(path, *MEASURE, unlabelled=more, steps=3)
    assert len(frames) == 12
    labelled, unlabelled = frames[1]["data_samples"], frames[7]["data_samples"]
    assert labelled.labelled and not unlabelled.labelled
    torch.testing.assert_close(unlabelled.poses, torch.eye(4, dtype=torch.float64).repeat(3, 1, 1))
    true = np.stack([world_from_ego(2, i) @ EGO_FROM_CAMERA for i in range(3)])
    # Odometry and satellites tell about the drive, with errors, and the odometry begins at itself.
    motion = invert(unlabelled.odometry.numpy()[:-1]) @ unlabelled.odometry.numpy()[1:]
    lengths = np.linalg.norm(motion[:, :3, 3], axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1), rtol=0.1)
    offset = unlabelled.gnss.numpy() - true[:, :2, 3]
    assert 0.1 < np.abs(offset).mean() < 8
    assert np.abs(offset - offset[0]).max() < 3, "the bias is shared"


def test_a_drive_has_the_same_errors_in_every_tuple_and_epoch(tmp_path: Path) -> None:
    frames = dataset(write_drives(tmp_path, "train", [1, 2]), *MEASURE, steps=3)
    first, second = frames[2, 0]["data_samples"], frames[3, 1]["data_samples"]
    for key in ("odometry", "gnss"):
        torch.testing.assert_close(first.get(key)[1:], second.get(key)[:-1])
    third = frames[8]["data_samples"]
    assert (first.gnss - first.poses[:, :2, 3] - (third.gnss - third.poses[:, :2, 3])).abs().min() > 0.01


def test_trajectories_of_other_programs_are_read_and_interpolated(tmp_path: Path) -> None:
    path = write_drives(tmp_path, "train", [1])
    for name, times in (("odometry", [0.0, 1.0, 2.5]), ("gnss", [0.0, 2.5])):
        (tmp_path / name).mkdir()
        quaternions = Rotation.from_rotvec([[0, 0, 0.2 * t] for t in times]).as_quat()
        rows = [[t, 8 * t, 1.0, 0.0, *quaternion] for t, quaternion in zip(times, quaternions, strict=True)]
        np.savetxt(tmp_path / name / "drive-1.txt", rows)
    load = {
        "type": "LoadTrajectories",
        "odometry_root": str(tmp_path / "odometry"),
        "gnss_root": str(tmp_path / "gnss"),
    }
    sample = dataset(path, load, steps=3)[3]["data_samples"]
    np.testing.assert_allclose(sample.odometry[:, :3, 3], [[8, 1, 0], [12, 1, 0], [16, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(sample.odometry[1, :3, :3], rotation_z(0.3), atol=1e-9)
    np.testing.assert_allclose(sample.gnss, [[8, 1], [12, 1], [16, 1]], atol=1e-9)
    np.savetxt(tmp_path / "odometry" / "drive-1.txt", rows[:1])
    with pytest.raises(DataError, match=r"drive-1\.txt: needs two lines or more"):
        dataset(path, load)[0]
    np.savetxt(tmp_path / "odometry" / "drive-1.txt", [[0.0] * 6 + [0, 1], [1.0] + [0.0] * 5 + [0, 1]])
    with pytest.raises(DataError, match="covers 0.000 to 1.000 s, the drive 0.000 to 2.500 s"):
        dataset(path, load)[0]


def test_wrong_pipelines_and_cameras_are_named(tmp_path: Path) -> None:
    path = write_drives(tmp_path, "train", [1])
    with pytest.raises(ConfigError, match="SimulateGnss works on whole drives: put it before ChooseFrames"):
        PoseDataset(str(path), [{"type": "ChooseFrames"}, {"type": "SimulateGnss"}])[0]
    with pytest.raises(DataError, match="has cameras front; set PoseDataset"):
        PoseDataset(str(path), [], "CAM_FRONT").full_init()
    with pytest.raises(ConfigError, match="drive drive-1 stands in"):
        PoseDataset(str(path), [], unlabelled_ann_file=str(path)).full_init()


def test_the_towns_front_camera_is_where_it_was_when_it_looked(town_index: dict[str, Path]) -> None:
    steps = [{"type": "ChooseFrames", "steps": 1}, {"type": "LoadImages"}, {"type": "PackPoses"}]
    frames = PoseDataset(str(town_index["train"]), steps, "CAM_FRONT")
    row = read_index(town_index["train"]).frame(0)
    front = next(camera for camera in row["cameras"] if camera["name"] == "CAM_FRONT")
    packed = frames[frames.tokens.index(row["token"])]
    pose = packed["data_samples"].poses[0].numpy()
    np.testing.assert_allclose(pose[:3, 3], (row["world_from_ego"] @ front["ego_from_camera"])[:3, 3])
    assert pose[2, 2] > 0.99, "z points up"
    assert packed["inputs"]["images"].shape == (1, 3, front["height"], front["width"])


def write_seven_scenes(root: Path, splits: bool = True) -> Path:
    scene = root / "chess"
    for sequence in (1, 2):
        folder = scene / f"seq-{sequence:02d}"
        folder.mkdir(parents=True)
        for frame in range(3):
            cv2.imwrite(str(folder / f"frame-{frame:06d}.color.png"), np.full((24, 32, 3), 10 * sequence + frame))
            pose = world_from_ego(sequence, frame) @ EGO_FROM_CAMERA
            np.savetxt(folder / f"frame-{frame:06d}.pose.txt", np.round(pose, 4), fmt="%.7e", delimiter="\t")
    if splits:
        (scene / "TrainSplit.txt").write_text("sequence1\n")
        (scene / "TestSplit.txt").write_text("sequence2\n\n")
    return scene


def test_seven_scenes_through_the_tool_to_packed_tuples(tmp_path: Path) -> None:
    scene = write_seven_scenes(tmp_path)
    done = run_tool("prepare_seven_scenes.py", "--root", scene, "--out", tmp_path / "index")
    assert done.returncode == 0, done.output
    assert read_index(tmp_path / "index/val.parquet").column("scene") == ["chess/seq-02"] * 3
    steps = [{"type": "ChooseFrames", "steps": 3}, {"type": "LoadImages"}, {"type": "PackPoses"}]
    packed = PoseDataset(str(tmp_path / "index/train.parquet"), steps, body_axes=False)[1]
    assert greys(packed) == [10, 11, 12]
    poses = packed["data_samples"].poses
    expected = np.stack([world_from_ego(1, i) @ EGO_FROM_CAMERA for i in range(3)])
    np.testing.assert_allclose(poses, expected, atol=1e-4)
    rotations = poses[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3, dtype=torch.float64).repeat(3, 1, 1))


def test_a_folder_without_split_files_is_one_part(tmp_path: Path) -> None:
    scene = write_seven_scenes(tmp_path, splits=False)
    parts = seven_scenes.read_parts(scene)
    assert parts == {"all": ["chess/seq-01", "chess/seq-02"]}
    written = write_parts(seven_scenes.read_frames(scene), parts, tmp_path, dataset="recording", data_root=scene)
    assert list(written.values()) == [6]


def test_broken_seven_scenes_folders_are_named(tmp_path: Path) -> None:
    scene = write_seven_scenes(tmp_path)
    pose = scene / "seq-01/frame-000001.pose.txt"
    for text, message in (
        ("1 0 0 0\n0 1 0 0\n0 0 nan 0\n0 0 0 1\n", "holds no 4 x 4 rigid transform"),
        ("2 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "its rotation is none, stretched by"),
        ("hello", "no readable pose"),
    ):
        pose.write_text(text)
        with pytest.raises(DataError, match=f"frame-000001.pose.txt.* {message}|frame-000001.pose.txt: {message}"):
            seven_scenes.read_frames(scene)
    pose.unlink()
    with pytest.raises(DataError, match="every image needs one"):
        seven_scenes.read_frames(scene)
    (scene / "TestSplit.txt").write_text("sequence9\n")
    with pytest.raises(DataError, match="names sequence9, and there is no folder .*seq-09"):
        seven_scenes.read_parts(scene)
    with pytest.raises(DataError, match="has no folder seq-01"):
        seven_scenes.read_frames(tmp_path)
