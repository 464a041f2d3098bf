from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mapstack.datasets.index import write_index
from mapstack.datasets.map_dataset import MapDataset
from mapstack.datasets.sampler import ResumableSampler
from mapstack.datasets.sources.recording import read_frames
from mapstack.errors import DataError

from .conftest import NUM_FRAMES

AUGMENTED = [
    dict(type="AugmentBEV", flip_y_prob=0.5, rotate_deg=30.0),
    dict(type="LoadImages"),
    dict(type="ResizeCropImages", size=(64, 96), scale=(1.0, 1.3), shift=1.0),
    dict(type="PhotometricJitter", prob=1.0),
    dict(type="LoadLidar"),
    dict(type="PackMapInputs"),
]


@pytest.fixture
def index(recording: Path, tmp_path: Path) -> str:
    write_index(tmp_path / "all.parquet", read_frames(recording), dataset="recording", data_root=recording)
    return str(tmp_path / "all.parquet")


def test_augmentation_depends_on_the_seed_and_nothing_else(index: str) -> None:
    dataset = MapDataset(index, AUGMENTED)
    first = dataset[1, 42]["inputs"]
    torch.rand(5), np.random.default_rng().random()  # whatever else draws numbers
    again, other = dataset[1, 42]["inputs"], dataset[1, 43]["inputs"]
    for key, value in first.items():
        assert torch.equal(value, again[key]), key
    assert not torch.equal(first["points"], other["points"])
    assert torch.equal(dataset[1]["inputs"]["points"], dataset[1]["inputs"]["points"])


def test_workers_change_nothing(index: str) -> None:
    dataset = MapDataset(index, AUGMENTED)
    batches = []
    for workers in (0, 2):
        sampler = ResumableSampler(dataset, seed=5)
        loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate)
        iterator = iter(loader)
        batches.append([next(iterator) for _ in range(3)])
        del iterator
    for alone, forked in zip(*batches, strict=True):
        assert [s.token for s in alone["data_samples"]] == [s.token for s in forked["data_samples"]]
        assert all(
            torch.equal(a, b) for a, b in zip(alone["inputs"]["images"], forked["inputs"]["images"], strict=True)
        )


def test_the_frame_is_the_one_that_was_asked_for(index: str) -> None:
    dataset = MapDataset(index, [lambda results: {**results, "token": "another"}])
    with pytest.raises(DataError, match="asked for drive_.*returned another"):
        dataset[0]
    dataset = MapDataset(index, AUGMENTED)
    dataset.data_list[0]["row"] = 1
    with pytest.raises(DataError, match="row 1 has drive_"):
        dataset[0]
    assert [MapDataset(index, AUGMENTED)[i]["data_samples"].token for i in range(NUM_FRAMES)] == dataset.tokens


def test_a_broken_frame_raises_and_is_never_replaced(index: str) -> None:
    dataset = MapDataset(index, [lambda results: None])
    with pytest.raises(DataError, match="returned nothing"):
        dataset[0]


def test_paths_are_absolute_and_the_root_can_be_overridden(index: str, recording: Path) -> None:
    info = MapDataset(index).get_data_info(3)
    assert all(Path(item["path"]).is_file() for item in (*info["cameras"], info["lidar"], *info["lidar"]["sweeps"]))
    moved = MapDataset(index, data_root="/mnt/elsewhere").get_data_info(0)
    assert moved["lidar"]["path"].startswith("/mnt/elsewhere/drive/lidar/")


def test_a_part_of_the_index_and_the_class_names(index: str) -> None:
    grid = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)
    pipeline = [dict(type="VectorizeMap", grid=grid, classes=("boundary",), optional=True)]
    dataset = MapDataset(index, pipeline, indices=2)
    assert len(dataset) == 2 and dataset.metainfo["classes"] == ("boundary",)
