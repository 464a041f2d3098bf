from pathlib import Path

import cv2
import numpy as np
import pytest

from mapstack.datasets.index import write_index
from mapstack.datasets.inspect import main
from mapstack.datasets.sources.recording import read_frames

from .conftest import CAMERA_LAGS_NS, START_NS


@pytest.fixture
def index(recording: Path, tmp_path: Path) -> Path:
    path = tmp_path / "all.parquet"
    frames = [{**frame, "split": "train"} for frame in read_frames(recording)]
    write_index(path, frames, dataset="recording", data_root=recording)
    return path


def test_a_sound_index_is_described(index: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(index)]) == 0
    text = capsys.readouterr().out
    for part in ("4 in 1 scenes, 0.3 s", "train 4", "test-town 4", "front 160x96 (4)", "0 to 3 earlier", "none (4 fr"):
        assert part in text
    assert "all there and sound" in text


def damage_truncate(folder: Path) -> str:
    path = folder / "lidar" / f"{START_NS}.bin"
    path.write_bytes(path.read_bytes()[:-3])
    return "is truncated"


def damage_missing(folder: Path) -> str:
    (folder / "lidar" / f"{START_NS}.bin").unlink()
    return "is missing"


def image_path(folder: Path) -> Path:
    return folder / "cameras" / "front" / f"{START_NS + CAMERA_LAGS_NS['front']}.jpg"


def damage_image_header(folder: Path) -> str:
    image_path(folder).write_bytes(b"no image")
    return "no readable image header"


def damage_image_end(folder: Path) -> str:
    image_path(folder).write_bytes(image_path(folder).read_bytes()[:-100])
    return "is cut off"


def damage_image_size(folder: Path) -> str:
    cv2.imwrite(str(image_path(folder)), np.zeros((96, 120, 3), np.uint8))
    return "is 120x96, the index says 160x96"


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_missing, damage_image_header, damage_image_end, damage_image_size]
)
def test_a_damaged_file_is_named_and_fails(index: Path, recording: Path, damage, capsys) -> None:
    message = damage(recording / "drive")
    assert main([str(index)]) == 1
    text = capsys.readouterr().out
    assert message in text and str(START_NS)[:12] in text and f"drive_{START_NS}" in text and "1 faults" in text


def test_an_unreadable_index_is_another_failure(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "none.parquet")]) == 2
    assert "no index at" in capsys.readouterr().err
