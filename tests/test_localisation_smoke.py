"""MapNet+ by its config on the tiny town: trained by tools/train.py, scored by tools/test.py with the pose graph."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import torch

from mapstack.datasets import PoseDataset
from mapstack.engine import load_checkpoint_file

from .engine.processes import run_tool

ROOT = Path(__file__).parents[1]
SHORT = """
_base_ = ["{base}"]
train_cfg = dict(max_iters=2, val_begin=99)
train_dataloader = dict(
    batch_size=3, num_workers=0, persistent_workers=False,
    dataset=dict(ann_file="{train}", unlabelled_ann_file="{unlabelled}"),
)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(ann_file="{val}"))
test_dataloader = val_dataloader
"""


def test_trains_and_is_scored(tmp_path: Path, town_index: dict[str, Path]) -> None:
    config = tmp_path / "short.py"
    # The tiny town's two parts lie apart: nothing can be localised there, but everything can run.
    base = ROOT / "configs/mapnet/mapnet-plus_efficientnet_town.py"
    indexes = {"train": town_index["train"], "unlabelled": town_index["val"], "val": town_index["train"]}
    config.write_text(SHORT.format(base=base, **indexes))
    trained = run_tool("train.py", config, "--work-dir", tmp_path / "work")
    assert trained.returncode == 0, trained.output

    checkpoint = load_checkpoint_file(tmp_path / "work/iter_2.pth")["state_dict"]
    frames = PoseDataset(str(town_index["train"]), [], "CAM_FRONT")
    frames.full_init()
    origin = torch.tensor(frames.metainfo["pose_origin"])
    torch.testing.assert_close(checkpoint["head.origin"], origin)
    assert checkpoint["head.scale"].item() > 1
    learned = {name.removeprefix("loss.log_var_") for name in checkpoint if "log_var" in name and checkpoint[name] != 0}
    assert learned >= {"translation", "translation_relative", "translation_odometry", "gnss"}

    scored = run_tool("test.py", config, tmp_path / "work/iter_2.pth", "--out", tmp_path / "out")
    assert scored.returncode == 0, scored.output
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert 0 < metrics["pose/translation_m"] < 1000 and 0 < metrics["pose/fused_rotation_deg"] < 180
    tokens = pq.read_table(town_index["train"]).column("token").to_pylist()
    assert set(json.loads((tmp_path / "out/predictions.json").read_text())["fused"]) == set(tokens)
