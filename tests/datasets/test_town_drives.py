"""The town's drives through the same reader as nuScenes: held-out ground, compensated sweeps, truth in the pictures."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from mmengine import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from scipy.spatial import cKDTree

from mapstack.datasets.index import Index, read_index
from mapstack.datasets.inspect import main as inspect
from mapstack.datasets.leakage import index_leakage, shared_tokens
from mapstack.datasets.map_dataset import MapDataset
from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import argoverse2
from mapstack.datasets.town import TownPaths
from mapstack.geometry.se3 import invert, transform_points

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def indexes(town_index: dict[str, Path]) -> dict[str, Index]:
    return {part: read_index(path) for part, path in town_index.items()}


def patch_rectangles(index: Index) -> shapely.MultiPolygon:
    x_min, y_min, _, x_max, y_max, _ = GRID["pc_range"]
    corners = np.array([[x_min, y_min, 0], [x_max, y_min, 0], [x_max, y_max, 0], [x_min, y_max, 0]], float)
    frames = (index.frame(row) for row in range(len(index)))
    rectangles = [transform_points(frame["world_from_ego"], corners)[:, :2] for frame in frames]
    return shapely.union_all([shapely.Polygon(corners) for corners in rectangles])


def test_training_and_validation_share_no_token_and_no_ground(indexes: dict[str, Index]) -> None:
    train, val = indexes["train"], indexes["val"]
    assert len(train) and len(val)
    assert not shared_tokens(train, val) and not set(train.column("scene")) & set(val.column("scene"))
    assert index_leakage(train, val)[-1].near == 0
    assert not patch_rectangles(train).intersects(patch_rectangles(val)), "a patch of val shows ground of train"


def test_every_file_of_the_town_is_sound(town_index: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    assert inspect([str(path) for path in town_index.values()]) == 0
    assert capsys.readouterr().out.count("all there and sound") == 2


def test_sweeps_of_a_moving_car_agree_after_compensation(indexes: dict[str, Index], town_index: dict) -> None:
    pipeline = [dict(type="LoadLidar", num_sweeps=4), dict(type="PackMapInputs")]
    dataset = MapDataset(str(town_index["train"]), pipeline)
    place = len(dataset) // 2 - 1  # the last frame of the first scene, with sweeps before it
    points = dataset[place]["inputs"]["points"].numpy()
    sweeps = dataset.get_data_info(place)["lidar"]["sweeps"][:3]
    now = points[points[:, 4] == 0, :3]
    oldest = points[points[:, 4] == points[:, 4].max(), :3]
    assert len(np.unique(points[:, 4])) == 4 and len(sweeps) == 3
    motion = sweeps[-1]["ego_from_sweep"] @ invert(dataset.get_data_info(place)["lidar"]["ego_from_lidar"])
    assert np.linalg.norm(motion[:3, 3]) > 0.3, "the car stands; choose another frame"
    tree = cKDTree(now)
    upright = oldest[oldest[:, 2] > 0.5]  # the flat ground fits itself whatever the motion
    compensated = np.median(tree.query(upright)[0])
    assert compensated < np.median(tree.query(transform_points(invert(motion), upright))[0])


def test_the_demo_config_feeds_batches(town: TownPaths, town_index: dict[str, Path]) -> None:
    cfg = Config.fromfile(CONFIGS / "town" / "maptr_lss-pillars_60x30_town.py")
    for loader, part in ((cfg.train_dataloader, "train"), (cfg.val_dataloader, "val")):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.ann_file = str(town_index[part])
    with DefaultScope.overwrite_default_scope("mapstack"):
        train = next(iter(Runner.build_dataloader(cfg.train_dataloader)))
        val_loader = Runner.build_dataloader(cfg.val_dataloader)
        val = [sample for batch in val_loader for sample in batch["data_samples"]]
    height, width = cfg.image_size
    assert train["inputs"]["images"][0].shape == (6, 3, height, width)
    assert train["inputs"]["points"][1].shape[1] == 5 and len(train["data_samples"]) == 2
    assert [sample.token for sample in val] == read_index(town_index["val"]).column("token")
    assert sum(len(sample.gt) for sample in val) > 10, "held-out streets have map elements"
    assert val_loader.dataset.metainfo["classes"] == tuple(cfg.classes)


def test_the_tool_writes_the_same_index(
    town: TownPaths, town_index: dict[str, Path], tmp_path: Path, run_tool, capsys: pytest.CaptureFixture
) -> None:
    lists = [str(path) for path in town.splits.values()]
    run_tool("prepare_nuscenes", "--root", str(town.nuscenes), "--out", str(tmp_path), "--split-file", *lists)
    assert f"{tmp_path / 'val.parquet'}: 6 frames" in capsys.readouterr().out
    for part, path in town_index.items():
        assert read_index(tmp_path / f"{part}.parquet").table.equals(read_index(path).table)
    run_tool("measure_leakage", "--train", str(tmp_path / "train.parquet"), "--val", str(tmp_path / "val.parquet"))
    assert "tokens in both: 0" in capsys.readouterr().out


def test_the_tool_names_a_wrong_split(town: TownPaths, tmp_path: Path, run_tool) -> None:
    with pytest.raises(SystemExit, match=r"error: \d+ scenes of the split are not in the root.*--partial"):
        run_tool("prepare_nuscenes", "--root", str(town.nuscenes), "--out", str(tmp_path), "--split", "official")


def test_argoverse2_logs_of_the_town_pack_like_nuscenes(town: TownPaths, tmp_path: Path) -> None:
    frames = argoverse2.read_frames(town.argoverse2)
    logs = {frame["scene"] for frame in frames}
    write_parts(frames, {"all": logs}, tmp_path, dataset="argoverse2", data_root=town.argoverse2)
    pipeline = [
        dict(type="LoadImages", cameras=argoverse2.CAMERAS),
        dict(type="ResizeCropImages", size=(96, 128)),
        dict(type="LoadLidar", num_sweeps=2),
        dict(type="VectorizeMap", grid=GRID),
        dict(type="LidarDepth", stride=16),
        dict(type="PackMapInputs"),
    ]
    packed = MapDataset(str(tmp_path / "all.parquet"), pipeline)[1]
    assert packed["inputs"]["images"].shape == (7, 3, 96, 128)
    assert (packed["inputs"]["depth"] > 0).float().mean() > 0.2
    assert len(packed["data_samples"].gt) > 2
