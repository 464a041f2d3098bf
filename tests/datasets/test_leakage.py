from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.index import read_index, write_index
from mapstack.datasets.leakage import index_leakage, measure_leakage, shared_tokens
from mapstack.datasets.pose_list import city_of_scenes, split_leakage
from mapstack.datasets.sources.recording import read_frames
from mapstack.errors import DataError


def test_only_frames_of_the_same_place_within_the_radius_count() -> None:
    train_xy = np.array([[0.0, 0.0], [100.0, 0.0]])
    train_locations = np.array(["a", "b"])
    val_xy = np.array([[3.0, 4.0], [3.0, 4.1], [100.0, 0.0], [0.0, 0.0]])
    val_locations = np.array(["a", "a", "a", "c"])
    near, far, total = measure_leakage(train_xy, train_locations, val_xy, val_locations, 5.0)
    assert (near.location, near.near, near.total) == ("a", 1, 3)
    assert (far.location, far.share) == ("c", 0.0)
    assert (total.location, total.near, total.total, total.share) == ("all", 1, 4, 0.25)


def test_an_index_leaks_wholly_into_itself(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_index(path, read_frames(recording), dataset="recording", data_root=recording)
    index = read_index(path)
    assert index_leakage(index, index)[-1].share == 1.0
    assert shared_tokens(index, index) == set(index.column("token"))
    write_index(tmp_path / "b.parquet", read_frames(recording), dataset="nuscenes", data_root=recording)
    with pytest.raises(DataError, match="worlds differ"):
        index_leakage(index, read_index(tmp_path / "b.parquet"))


def test_a_random_split_of_real_poses_leaks_and_the_published_ones_do_not(shared_data: Path, tmp_path: Path) -> None:
    poses = shared_data / "nuscenes_val_poses.parquet"
    scenes = sorted(city_of_scenes())
    import pyarrow.parquet as pq

    known = sorted(set(pq.read_table(poses, columns=["scene"]).column("scene").to_pylist()) & set(scenes))
    np.random.default_rng(0).shuffle(known)
    (tmp_path / "train.txt").write_text("\n".join(known[:100]))
    (tmp_path / "val.txt").write_text("\n".join(known[100:]))
    assert 0.2 < split_leakage(poses, str(tmp_path))[0][-1].share < 0.5
    entries, counts = split_leakage(poses, "streammapnet")
    assert counts == {"train": (117, 698), "val": (32, 148)}
    assert entries[-1].share < 0.01
    with pytest.raises(DataError, match="no pose of the 700 train scenes"):
        split_leakage(poses, "official")
