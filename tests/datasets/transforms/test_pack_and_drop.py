import numpy as np
import pytest
import torch

from mapstack.datasets.transforms import (
    AugmentBEV,
    DropSensors,
    LoadLidar,
    LoseSensors,
    MisalignSensor,
    PackMapInputs,
    VectorizeMap,
)
from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import transform_points
from mapstack.maps import VectorMap

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)


@pytest.fixture
def loaded(frame: dict) -> dict:
    generator = np.random.default_rng(0)
    return frame | {
        "images": [generator.integers(1, 256, (8, 12, 3), dtype=np.uint8) for _ in range(3)],
        "intrinsics": np.stack([np.eye(3)] * 3),
        "ego_from_camera": np.stack([np.eye(4)] * 3),
        "camera_valid": np.ones(3, bool),
        "camera_names": ("a", "b", "c"),
        "points": generator.uniform(0, 1, (20, 5)).astype(np.float32),
    }


def test_a_sample_has_the_contracts_shapes_and_kinds(loaded: dict, small_map: VectorMap) -> None:
    images = [image.copy() for image in loaded["images"]]
    packed = PackMapInputs()(VectorizeMap(GRID)(loaded))
    inputs = packed["inputs"]
    assert inputs["images"].shape == (3, 3, 8, 12) and inputs["images"].dtype == torch.uint8
    assert inputs["images"][1].permute(1, 2, 0).numpy().tolist() == images[1].tolist()
    assert inputs["camera_valid"].dtype == torch.bool
    assert {inputs[key].dtype for key in ("intrinsics", "ego_from_camera", "points")} == {torch.float32}
    sample = packed["data_samples"]
    assert sample.token == "t0" and sample.rules["origin"] == "ego" and sample.world_from_ego.shape == (4, 4)
    assert len(sample.gt) == 4 and sample.gt.vertices is not None


def test_only_what_was_loaded_is_packed(loaded: dict) -> None:
    lidar_only = {key: value for key, value in loaded.items() if key not in ("images", "intrinsics")}
    assert list(PackMapInputs()(lidar_only)["inputs"]) == ["points"]
    del loaded["points"]
    assert set(PackMapInputs()(loaded)["inputs"]) == {"images", "camera_valid", "intrinsics", "ego_from_camera"}


def test_what_cannot_be_packed_is_refused(loaded: dict, frame: dict) -> None:
    with pytest.raises(ConfigError, match="loads no sensor"):
        PackMapInputs()({key: value for key, value in loaded.items() if key not in ("images", "points")})
    bad = {**loaded, "points": np.full((2, 5), np.nan, np.float32)}
    with pytest.raises(DataError, match="frame t0: points has NaN"):
        PackMapInputs()(bad)
    loaded["images"][0] = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ConfigError, match="add ResizeCropImages"):
        PackMapInputs()(loaded)


def test_dropping_follows_its_probabilities_and_never_takes_everything(loaded: dict) -> None:
    drop = DropSensors(camera_prob=0.3, all_cameras_prob=0.2, lidar_prob=0.2)
    lidar_gone = cameras_gone = single_gone = 0
    for seed in range(400):
        out = drop({**loaded, "images": list(loaded["images"]), "seed": seed})
        lidar, cameras = len(out["points"]), int(out["camera_valid"].sum())
        assert lidar or cameras
        assert all(image.any() == valid for image, valid in zip(out["images"], out["camera_valid"], strict=True))
        lidar_gone, cameras_gone = lidar_gone + (lidar == 0), cameras_gone + (cameras == 0)
        single_gone += 0 < cameras < 3
    assert 50 < lidar_gone < 115 and 50 < cameras_gone < 115 and single_gone > 150
    assert loaded["camera_valid"].all(), "the input's array is not changed"


def test_a_lone_modality_is_never_dropped_whole(loaded: dict) -> None:
    del loaded["points"]
    drop = DropSensors(camera_prob=1.0, all_cameras_prob=1.0)
    assert all(drop({**loaded, "seed": seed})["camera_valid"].sum() == 1 for seed in range(20))


def test_wrong_probabilities_are_refused() -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        DropSensors(all_cameras_prob=0.6, lidar_prob=0.6)
    with pytest.raises(ConfigError, match="probabilities"):
        DropSensors(intensity_prob=1.5)


def test_intensity_goes_by_chance_or_by_name_and_the_rest_of_the_point_stays(loaded: dict) -> None:
    loaded["points"] = np.random.default_rng(0).uniform(1, 2, (20, 5)).astype(np.float32)
    drop, rest = DropSensors(intensity_prob=0.3), [0, 1, 2, 4]
    outs = [drop({**loaded, "images": list(loaded["images"]), "seed": seed})["points"] for seed in range(200)]
    gone = sum(not out[:, 3].any() for out in outs)
    assert 35 < gone < 90
    lost = LoseSensors(intensity=True)(dict(loaded))["points"]
    assert not lost[:, 3].any() and loaded["points"][:, 3].all(), "the input is not changed"
    for out in (*outs, lost):
        np.testing.assert_array_equal(out[:, rest], loaded["points"][:, rest])


def test_the_pose_of_the_patch_is_planar_and_undoes_the_augmentation(frame: dict) -> None:
    """A place has the same world coordinates whichever way the frame was augmented; roll and pitch do not count."""
    tilted = frame["world_from_ego"].copy()
    tilted[:3, :3] = tilted[:3, :3] @ np.array([[1, 0, 0], [0, 0.999, -0.0447], [0, 0.0447, 0.999]])
    augmented = AugmentBEV(1.0, 0.0, 30.0, (1.1, 1.1))({**frame, "world_from_ego": tilted})
    place = np.array([[12.0, -4.0, 0.0]])
    aug_place = transform_points(augmented["aug_from_ego"], place)
    points = np.zeros((1, 5), np.float32)
    sample = PackMapInputs()({**augmented, "points": points})["data_samples"]
    plain = PackMapInputs()({**frame, "points": points})["data_samples"]
    np.testing.assert_allclose(
        transform_points(sample.world_from_bev, aug_place), transform_points(plain.world_from_bev, place), atol=1e-9
    )
    np.testing.assert_allclose(plain.world_from_bev, frame["world_from_ego"], atol=1e-12)


def test_an_error_made_on_purpose_is_packed_for_the_loss(loaded: dict) -> None:
    assert "sensor_error" not in PackMapInputs()(dict(loaded))["inputs"]
    moved = MisalignSensor()(dict(loaded))
    packed = PackMapInputs()(moved)["inputs"]
    assert packed["sensor_error"].shape == (4, 4) and packed["sensor_error"].dtype == torch.float32
    np.testing.assert_allclose(packed["ego_from_camera"][0], moved["sensor_error"], atol=1e-6)


def test_named_sensors_are_lost_and_only_they(loaded: dict) -> None:
    out = LoseSensors(("b",), lidar=True)({**loaded, "images": list(loaded["images"])})
    assert out["camera_valid"].tolist() == [True, False, True]
    assert [bool(image.any()) for image in out["images"]] == [True, False, True]
    assert out["points"].shape == (0, 5)
    assert loaded["camera_valid"].all() and loaded["images"][1].any(), "the input is not changed"
    assert len(LoseSensors()(dict(loaded))["points"]) == 20
    with pytest.raises(ConfigError, match="nose is not among"):
        LoseSensors(("nose",))(dict(loaded))


def test_a_frame_without_lidar_passes_only_where_that_is_allowed(frame: dict) -> None:
    assert LoadLidar(allow_missing=True)(dict(frame))["points"].shape == (0, 5)
    with pytest.raises(DataError, match="t0 has no LiDAR"):
        LoadLidar()(dict(frame))
