import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapstack.datasets import index as index_module
from mapstack.datasets.index import INDEX_VERSION, link_frames, read_index, write_index
from mapstack.datasets.sources import recording as source
from mapstack.errors import DataError, IndexVersionError


@pytest.fixture
def frames(recording: Path) -> list[dict]:
    return source.read_frames(recording)


def test_a_frame_comes_back_as_it_was_written(frames: list[dict], recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "all.parquet"
    write_index(path, frames, dataset="recording", data_root=recording)
    index = read_index(path)
    assert len(index) == len(frames) and index.dataset == "recording" and index.data_root == recording.resolve()
    for row, frame in enumerate(frames):
        read = index.frame(row)
        assert read["token"] == frame["token"] and read["map_kind"] is None and read["split"] is None
        np.testing.assert_array_equal(read["world_from_ego"], frame["world_from_ego"])
        np.testing.assert_array_equal(read["cameras"][1]["ego_from_camera"], frame["cameras"][1]["ego_from_camera"])
        np.testing.assert_array_equal(read["lidar"]["ego_from_lidar"], frame["lidar"]["ego_from_lidar"])
        assert [s["path"] for s in read["lidar"]["sweeps"]] == [s["path"] for s in frame["lidar"]["sweeps"]]
    np.testing.assert_array_equal(index.positions(), [frame["world_from_ego"][:3, 3] for frame in frames])


def test_a_frame_without_lidar_and_without_cameras_is_kept(frames: list[dict], tmp_path: Path) -> None:
    write_index(
        tmp_path / "i.parquet",
        [{**frames[0], "lidar": None}, {**frames[1], "cameras": []}],
        dataset="recording",
        data_root=tmp_path,
    )
    index = read_index(tmp_path / "i.parquet")
    assert index.frame(0)["lidar"] is None and index.frame(1)["cameras"] == []


def test_index_and_data_can_be_moved_together(frames: list[dict], recording: Path, tmp_path: Path) -> None:
    write_index(recording / "all.parquet", frames, dataset="recording", data_root=recording)
    moved = tmp_path / "elsewhere"
    shutil.move(recording, moved)
    index = read_index(moved / "all.parquet")
    assert (index.data_root / index.frame(0)["lidar"]["path"]).is_file()
    assert read_index(moved / "all.parquet", data_root="/mnt/x").data_root == Path("/mnt/x")


def test_another_version_is_refused_with_the_command_that_mends_it(frames: list[dict], tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    write_index(path, frames, dataset="recording", data_root=tmp_path, command="tools/prepare_recording.py --root x")
    table = pq.read_table(path)
    old = {**table.schema.metadata, b"mapstack_index_version": str(INDEX_VERSION + 1).encode()}
    pq.write_table(table.replace_schema_metadata(old), path)
    with pytest.raises(IndexVersionError, match=r"old\.parquet.*version 2.*tools/prepare_recording\.py --root x"):
        read_index(path)


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no index at"):
        read_index(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(DataError, match=r"text\.parquet is not a readable Parquet"):
        read_index(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="no mapstack index"):
        read_index(tmp_path / "other.parquet")


def test_a_killed_write_leaves_the_old_index_and_no_rest(
    frames: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "all.parquet"
    write_index(path, frames[:1], dataset="recording", data_root=tmp_path)

    def fail(table: pa.Table, where: Path) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(index_module.pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_index(path, frames, dataset="recording", data_root=tmp_path)
    assert len(read_index(path)) == 1
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".partial")]


def test_a_token_may_stand_once(frames: list[dict], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=frames[0]["token"]):
        write_index(tmp_path / "x.parquet", [frames[0], frames[0]], dataset="recording", data_root=tmp_path)


def test_links_stay_inside_a_scene_and_follow_time() -> None:
    frames = [
        {"scene": scene, "timestamp_ns": time, "token": f"{scene}{time}"} for scene, time in ("b1", "a2", "a1", "a3")
    ]
    linked = link_frames(frames)
    assert [f["token"] for f in linked] == ["a1", "a2", "a3", "b1"]
    assert [(f["prev"], f["next"]) for f in linked] == [(None, "a2"), ("a1", "a3"), ("a2", None), (None, None)]
