import json
from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.index import read_index
from mapstack.datasets.map_dataset import MapDataset
from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources.recording import read_frames
from mapstack.errors import DataError
from mapstack.geometry.se3 import invert, transform_points
from mapstack.maps import MapLayer, VectorMap

from .conftest import CAMERA_LAGS_NS, EGO_FROM_BACK, NUM_FRAMES, START_NS, pose_at, world_points

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)


def test_the_recipe_from_folder_to_packed_sample(recording: Path, tmp_path: Path) -> None:
    written = write_parts(
        read_frames(recording), {"all": ["drive"]}, tmp_path / "index", dataset="recording", data_root=recording
    )
    assert written == {tmp_path / "index" / "all.parquet": NUM_FRAMES}
    pipeline = [
        dict(type="LoadImages"),
        dict(type="ResizeCropImages", size=(64, 128)),
        dict(type="LoadLidar", num_sweeps=3),
        dict(type="VectorizeMap", grid=GRID, optional=True),
        dict(type="LidarDepth", stride=16),
        dict(type="PackMapInputs"),
    ]
    dataset = MapDataset(str(tmp_path / "index" / "all.parquet"), pipeline)
    packed = dataset[NUM_FRAMES - 1]
    inputs, sample = packed["inputs"], packed["data_samples"]
    assert inputs["images"].shape == (2, 3, 64, 128) and inputs["depth"].shape == (2, 4, 8)
    assert inputs["points"].shape == (3 * len(world_points()), 5)
    assert sample.scene == "drive" and sample.location == "test-town" and "gt" not in sample
    assert (inputs["depth"] > 0).any()


def test_a_map_beside_the_recording_becomes_its_truth(recording: Path, tmp_path: Path) -> None:
    edge = transform_points(pose_at(0.0), np.array([[-40.0, 4, 0], [40, 4, 0]]))[:, :2]
    VectorMap({"boundary": MapLayer.from_lines([edge])}).to_geojson(recording / "drive" / "map.geojson")
    write_parts(read_frames(recording), {"all": ["drive"]}, tmp_path, dataset="recording", data_root=recording)
    pipeline = [dict(type="LoadLidar"), dict(type="VectorizeMap", grid=GRID), dict(type="PackMapInputs")]
    (line,) = MapDataset(str(tmp_path / "all.parquet"), pipeline)[0]["data_samples"].gt.vertices
    np.testing.assert_allclose(line[:, :2], [[-30, 4], [30, 4]], atol=1e-6)


def test_sweeps_of_a_still_world_fall_on_each_other(recording: Path, tmp_path: Path) -> None:
    write_parts(read_frames(recording), {"all": ["drive"]}, tmp_path, dataset="recording", data_root=recording)
    dataset = MapDataset(
        str(tmp_path / "all.parquet"), [dict(type="LoadLidar", num_sweeps=4), dict(type="PackMapInputs")]
    )
    points = dataset[NUM_FRAMES - 1]["inputs"]["points"].numpy()
    sweeps = points.reshape(NUM_FRAMES, -1, 5)
    expected = transform_points(invert(pose_at(0.3)), world_points())
    for number, sweep in enumerate(sweeps):
        np.testing.assert_allclose(sweep[:, :3], expected, atol=2e-3)  # poses are interpolated on an arc
        np.testing.assert_allclose(sweep[:, 3:], [[0.5, 0.1 * number]] * len(sweep), atol=1e-6)


def test_cameras_are_compensated_for_their_own_time(recording: Path) -> None:
    frame = read_frames(recording)[1]
    back = next(camera for camera in frame["cameras"] if camera["name"] == "back")
    assert back["timestamp_ns"] == START_NS + 100_000_000 + CAMERA_LAGS_NS["back"]
    expected = invert(pose_at(0.1)) @ pose_at(0.085) @ EGO_FROM_BACK
    np.testing.assert_allclose(back["ego_from_camera"], expected, atol=1e-3)


def test_a_lost_image_is_reported_by_token_and_left_out_only_when_asked(
    recording: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = START_NS + 100_000_000
    (recording / "drive" / "cameras" / "front" / f"{lost + CAMERA_LAGS_NS['front']}.jpg").unlink()
    with pytest.raises(DataError, match=rf"drive_{lost}: no image of camera front.*\n.*--skip-broken"):
        read_frames(recording)
    frames = read_frames(recording, skip_broken=True)
    assert len(frames) == NUM_FRAMES - 1 and f"drive_{lost}" in caplog.text
    assert frames[0]["next"] == frames[1]["token"] and frames[1]["prev"] == frames[0]["token"]


def test_an_empty_file_and_singular_intrinsics_break_a_frame(recording: Path) -> None:
    path = recording / "drive" / "lidar" / f"{START_NS}.bin"
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(DataError, match=rf"{START_NS}\.bin is empty"):
        read_frames(recording)
    path.write_bytes(content)
    file = recording / "drive" / "calibration.json"
    calibration = json.loads(file.read_text())
    calibration["cameras"]["back"]["intrinsics"][1][1] = 0.0
    file.write_text(json.dumps(calibration))
    with pytest.raises(DataError, match="back: singular intrinsics"):
        read_frames(recording)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: (folder / "poses.csv").unlink(), "no poses at .*poses.csv"),
        (lambda folder: (folder / "poses.csv").write_text("a,b\n1,2\n"), "must have the header timestamp_ns"),
        (lambda folder: (folder / "calibration.json").write_text("{"), "calibration.json cannot be read"),
        (lambda folder: (folder / "calibration.json").unlink(), "no recording at"),
        (lambda folder: (folder / "lidar" / "first.bin").write_bytes(b"0"), "first.bin must be named by its time"),
    ],
)
def test_mistakes_in_the_folder_are_named(recording: Path, edit, message: str) -> None:
    edit(recording / "drive")
    with pytest.raises(DataError, match=message):
        read_frames(recording)


def test_poses_are_not_extrapolated(recording: Path) -> None:
    file = recording / "drive" / "poses.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:20]) + "\n")
    with pytest.raises(DataError, match=r"poses\.csv ends before"):
        read_frames(recording)


def test_a_standing_car_needs_one_pose(recording: Path) -> None:
    file = recording / "drive" / "poses.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:2]) + "\n")
    frames = read_frames(recording)
    assert len(frames) == NUM_FRAMES
    np.testing.assert_array_equal(frames[0]["world_from_ego"], frames[-1]["world_from_ego"])


def test_the_tool_splits_recordings_by_list(recording: Path, tmp_path: Path, run_tool) -> None:
    from .conftest import write_recording

    write_recording(recording, "other")
    (tmp_path / "train.txt").write_text("drive\n")
    (tmp_path / "val.txt").write_text("other\n")
    lists = [str(tmp_path / "train.txt"), str(tmp_path / "val.txt")]
    out = tmp_path / "index"
    run_tool("prepare_recording", "--root", str(recording), "--out", str(out), "--split-file", *lists)
    assert {frame for frame in read_index(out / "val.parquet").column("scene")} == {"other"}
    assert set(read_index(out / "train.parquet").column("split")) == {"train"}
