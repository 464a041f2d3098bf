"""The runtime prepares what the training pipeline prepares: the same bits, on frames of the town."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mapstack.datasets import MapDataset, transforms
from mapstack.datasets.transforms import image as pipeline_images
from mapstack.errors import DataError, ExportError
from mapstack.export import images
from mapstack.export.describe import REPEATED, describe_pipeline, plan_export
from mapstack.export.metadata import LidarPreparation, ModelMetadata
from mapstack.export.playback import frame_from_row
from mapstack.export.preparation import FramePreparation
from mapstack.export.sensors import LidarSweep, PriorVectors, SensorFrame
from mapstack.models import MapDataPreprocessor
from mapstack.models.priors.batch import nearest_and_longest

from .conftest import METADATA
from .rigs import CAMERAS, dataset_of, small_config

SIZES = [((900, 1600), (144, 256)), ((900, 1600), (256, 704)), ((900, 1600), (225, 400)), ((80, 120), (40, 60))]
SIZES += [((224, 400), (144, 256)), ((97, 131), (64, 96)), ((50, 60), (70, 90)), ((64, 96), (64, 96))]


@pytest.mark.parametrize(("raw", "size"), SIZES)
@pytest.mark.parametrize("resizer", ["numpy", "opencv"])
def test_images_come_out_as_in_training_to_the_bit(raw: tuple[int, int], size: tuple[int, int], resizer: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*raw, 3), dtype=np.uint8)
    for keep_bottom in (1.0, 0.37):
        affine = images.image_from_raw(raw, size, keep_bottom)
        expected = pipeline_images.ResizeCropImages(size, keep_bottom=keep_bottom)._draw(raw, np.random.default_rng(0))
        assert np.array_equal(affine, expected)
        np.testing.assert_array_equal(
            images.warp(noise, affine, size, resizer), pipeline_images.warp(noise, affine, size)
        )


@pytest.fixture(scope="module")
def fused(town_index: dict[str, Path]) -> tuple[MapDataset, ModelMetadata]:
    config = small_config()
    metadata = replace(
        METADATA,
        image_size=(64, 96),
        num_cameras=2,
        cameras=CAMERAS,
        **describe_pipeline(config.test_dataloader.dataset.pipeline),
    )
    return dataset_of(config, town_index["val"]), metadata


@pytest.mark.parametrize("resizer", ["numpy", "opencv"])
def test_town_frames_come_out_as_in_training_to_the_bit(fused: tuple[MapDataset, ModelMetadata], resizer: str) -> None:
    dataset, metadata = fused
    preparation = FramePreparation(metadata, resizer)
    preprocessor = MapDataPreprocessor(metadata.mean, metadata.std)
    for place in (0, 2):  # a scene's first frame has no earlier sweep
        arrays, broken = preparation(frame_from_row(dataset.get_data_info(place)))
        expected = preprocessor(pseudo_collate([dataset[place]]))["inputs"]
        assert not broken
        for name in ("images", "intrinsics", "ego_from_camera", "camera_valid", "points", "lidar_valid"):
            assert arrays[name].dtype == expected[name].numpy().dtype
            np.testing.assert_array_equal(arrays[name], expected[name].numpy(), name)
    assert len(arrays["points"]) > len(frame_from_row(dataset.get_data_info(2)).lidar.points)


def test_sweeps_of_earlier_frames_move_with_the_car(fused: tuple[MapDataset, ModelMetadata]) -> None:
    """Sweeps kept by the runtime, with the pose of their own time, give the index's points to a hundredth of a mm."""
    dataset, metadata = fused
    frame = frame_from_row(dataset.get_data_info(2))
    first = frame.sweeps[0]
    drift = np.eye(4)
    drift[:3, 3] = (3.0, -1.0, 0.2)
    then = replace(
        first,
        world_from_ego=frame.world_from_ego @ drift,
        ego_from_lidar=np.linalg.inv(drift) @ first.ego_from_lidar,
    )
    preparation = FramePreparation(metadata)
    own, _ = preparation(replace(frame, sweeps=None), [then])
    expected, _ = preparation(replace(frame, sweeps=[first]))
    assert len(own["points"]) == len(expected["points"])
    np.testing.assert_allclose(own["points"], expected["points"], atol=1e-5)


def test_a_sensor_that_cannot_be_used_is_named_and_left_out(fused: tuple[MapDataset, ModelMetadata]) -> None:
    dataset, metadata = fused
    frame = frame_from_row(dataset.get_data_info(0))
    front = frame.cameras["CAM_FRONT"]
    singular = replace(front, intrinsics=np.zeros((3, 3)))
    spoilt = replace(frame.lidar, points=np.full((5, 5), np.nan, np.float32))
    cases = {
        "CAM_FRONT": replace(frame, cameras={**frame.cameras, "CAM_FRONT": singular}),
        "CAM_BACK": replace(frame, cameras={"CAM_FRONT": front}),
        "lidar": replace(frame, lidar=spoilt),
    }
    for name, case in cases.items():
        arrays, broken = FramePreparation(metadata)(case)
        assert set(broken) == {name}
        assert all(np.isfinite(value).all() for value in arrays.values())
        if name == "lidar":
            assert len(arrays["points"]) == 0 and not arrays["lidar_valid"][0]
        else:
            view = CAMERAS.index(name)
            assert not arrays["camera_valid"][0, view] and not arrays["images"][0, view].any()
        with pytest.raises(DataError, match=rf"frame {frame.token} cannot be used: {name}"):
            FramePreparation(metadata, lenient=False)(case)
    with pytest.raises(DataError, match="CAM_FRONT: no image.*lidar: no sweep"):
        FramePreparation(metadata)(replace(frame, cameras={}, lidar=None))
    with pytest.raises(DataError, match="world_from_ego"):
        FramePreparation(metadata)(replace(frame, world_from_ego=np.full((4, 4), np.nan)))


def test_the_lidar_as_origin_moves_everything(town_index: dict[str, Path]) -> None:
    config = small_config()
    config.test_dataloader.dataset.pipeline.insert(0, {"type": "SetOrigin", "origin": "lidar"})
    dataset = dataset_of(config, town_index["val"])
    fields = describe_pipeline(config.test_dataloader.dataset.pipeline)
    metadata = replace(METADATA, image_size=(64, 96), num_cameras=2, cameras=CAMERAS, **fields)
    arrays, _ = FramePreparation(metadata)(frame_from_row(dataset.get_data_info(0)))
    expected = dataset[0]["inputs"]
    np.testing.assert_array_equal(arrays["points"][:, 1:], expected["points"].numpy())
    np.testing.assert_array_equal(arrays["ego_from_camera"][0], expected["ego_from_camera"].numpy())


def test_a_pipeline_that_the_runtime_cannot_repeat_is_refused() -> None:
    with pytest.raises(ExportError, match="no counterpart of the pipeline's DropSensors"):
        describe_pipeline([{"type": "DropSensors", "camera_prob": 0.5}])
    with pytest.raises(ExportError, match="no counterpart of the pipeline's LoseSensors"):
        describe_pipeline([{"type": "LoseSensors", "cameras": ("CAM_FRONT",)}])
    with pytest.raises(ExportError, match="no counterpart of the pipeline's LoseSensors"):
        describe_pipeline([{"type": "LoseSensors", "intensity": True}])
    assert describe_pipeline([{"type": "LoseSensors", "cameras": (), "lidar": False}]) == {}
    with pytest.raises(ExportError, match="ResizeCropImages draws"):
        describe_pipeline([{"type": "ResizeCropImages", "size": (1, 1), "scale": (0.9, 1.1)}])
    assert describe_pipeline([{"type": "mapstack.LoadLidar"}]) == {"lidar": LidarPreparation()}
    defaults = inspect.signature(transforms.LoadLidar).parameters
    assert all(defaults[name].default == value for name, value in vars(LidarPreparation()).items())
    assert all(hasattr(transforms, name) for name in REPEATED)
    assert inspect.signature(transforms.ResizeCropImages).parameters["keep_bottom"].default == METADATA.keep_bottom


def test_a_model_that_is_no_mapper_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="Linear is no mapper"):
        plan_export(torch.nn.Linear(2, 2), {}, small_config())


def test_priors_are_padded_and_an_empty_one_is_not_valid(fused: tuple[MapDataset, ModelMetadata]) -> None:
    frame = frame_from_row(fused[0].get_data_info(0))
    labels = np.arange(2)
    prior = PriorVectors(np.ones((2, 5, 2)), labels, labels, np.array([1.0, 0.5]))
    arrays, _ = FramePreparation(fused[1])(replace(frame, prior=prior))
    assert arrays["prior_points"].shape == (1, 2, 5, 2) and arrays["prior_valid"].all()
    empty = PriorVectors(*(value[:0] for value in (prior.points, labels, labels, prior.confidence)))
    arrays, _ = FramePreparation(fused[1])(replace(frame, prior=empty))
    assert arrays["prior_points"].shape == (1, 1, 5, 2) and not arrays["prior_valid"].any()
    with pytest.raises(DataError, match="must be as many"):
        FramePreparation(fused[1])(replace(frame, prior=replace(prior, labels=labels[:1])))


def test_of_many_priors_the_models_own_choice_is_kept(fused: tuple[MapDataset, ModelMetadata]) -> None:
    generator = torch.Generator().manual_seed(0)
    points = (torch.rand(30, 1, 2, generator=generator) - 0.5) * 60 + torch.randn(30, 5, 2, generator=generator).cumsum(
        1
    )
    numbers = np.arange(30)
    prior = PriorVectors(points.numpy(), numbers, numbers, np.ones(30))
    frame = replace(frame_from_row(fused[0].get_data_info(0)), prior=prior)
    arrays, _ = FramePreparation(replace(fused[1], max_priors=12))(frame)
    assert arrays["prior_labels"][0].tolist() == nearest_and_longest(points, 12).tolist()


def test_normalised_pixels_are_the_preprocessors() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 256).expand(3, 1, 256)
    expected = MapDataPreprocessor(METADATA.mean, METADATA.std).normalize(values, torch.tensor(True))
    np.testing.assert_array_equal(images.pixel_table(METADATA.mean, METADATA.std), expected.squeeze(1).numpy())


def test_an_unknown_resizer_is_refused() -> None:
    with pytest.raises(DataError, match="resizer must be one of"):
        FramePreparation(METADATA, resizer="pillow")


def test_a_frame_can_do_without_files() -> None:
    sweep = LidarSweep(np.ones((3, 4), np.float32), np.eye(4), 255.0, 0, np.eye(4))
    metadata = replace(METADATA, num_cameras=0, image_size=None, lidar=LidarPreparation())
    arrays, broken = FramePreparation(metadata)(SensorFrame(0, np.eye(4), lidar=sweep))
    assert arrays["points"].shape == (3, 6) and arrays["batch_zeros"].shape == (1,) and not broken
