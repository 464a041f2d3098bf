"""A streaming model on the tiny town: clips resume exactly, and drives are scored in order whatever the batch size."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine import Config

from mapstack.datasets import read_index
from mapstack.engine import build_runner, evaluate_checkpoint, load_checkpoint_file, load_config, predict_next
from mapstack.errors import ConfigError
from mapstack.registry import DATASETS, MODELS

from .engine.test_resume import differences

ROOT = Path(__file__).parents[1]
SMALL = """
_base_ = ["{base}/configs/town/maptr-stream_lss-pillars_60x30_town.py"]
truth, pack = _base_.truth, [dict(type="PackMapInputs")]
grid = dict(_base_.grid, cell_m=0.6)
model = dict(
    camera=None,
    cell_m=1.2,
    grid=grid,
    lidar=dict(channels=8, pillar_channels=4),
    bev_encoder=dict(channels=(8, 8), depths=(0, 1)),
    segmentation=None,
    decoder=dict(num_queries=5, embed_dims=16, num_layers=1, denoising=None),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(clip_length=2),
    dataset=dict(ann_file="{train}", pipeline=_base_.augment + _base_.lidar + truth + pack),
)
val_dataloader = dict(
    batch_size=3,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file="{val}", pipeline=_base_.lidar + truth + pack),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=4, val_begin=99)
default_hooks = dict(checkpoint=dict(interval=2, keep_last=None), logger=dict(interval=1))
visualizer = dict(vis_backends=[dict(type="LocalVisBackend")])
"""


@pytest.fixture
def config(tmp_path: Path, town_index: dict[str, Path]) -> Config:
    path = tmp_path / "small.py"
    path.write_text(SMALL.format(base=ROOT, **town_index))
    return load_config(path)


def train(config: Config, work_dir: Path, resume: bool = False) -> dict:
    config = Config(config.to_dict(), filename=config.filename)
    config.work_dir, config.resume = str(work_dir), resume
    build_runner(config).train()
    return load_checkpoint_file(work_dir / "iter_4.pth")


def score(config: Config, checkpoint: Path, out: Path, **test_dataloader: object) -> dict:
    config = Config(config.to_dict(), filename=config.filename)
    config.test_dataloader.update(test_dataloader)
    evaluate_checkpoint(config, checkpoint, out)
    return json.loads((out / "predictions.json").read_text())["results"]


def furthest(one: dict, other: dict) -> float:
    """Largest difference of a score between two answers to the same frames."""
    assert one.keys() == other.keys()
    gaps = [
        abs(a - b) for token, entry in one.items() for a, b in zip(entry["scores"], other[token]["scores"], strict=True)
    ]
    return max(gaps)


def test_clips_train_resume_exactly_and_drives_are_scored_in_order(
    tmp_path: Path, config: Config, town_index: dict[str, Path]
) -> None:
    whole = train(config, tmp_path / "whole")
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole/iter_2.pth", tmp_path / "resumed")
    resumed = train(config, tmp_path / "resumed", resume=True)
    for part in ("state_dict", "optimizer"):
        assert differences(whole[part], resumed[part], part) == []

    # Untrained, the memory would have no say: give it one.
    whole["state_dict"]["temporal.add.weight"] = 3 * torch.randn(8, 8, 1, 1, generator=torch.Generator().manual_seed(0))
    torch.save(whole["state_dict"], tmp_path / "loud.pth")
    in_threes = score(config, tmp_path / "loud.pth", tmp_path / "threes")
    assert set(in_threes) == set(read_index(town_index["val"]).column("token"))
    alone = score(config, tmp_path / "loud.pth", tmp_path / "ones", batch_size=1)
    assert furthest(in_threes, alone) < 1e-3
    config.test_cfg.type = "TestLoop"
    assert furthest(score(config, tmp_path / "loud.pth", tmp_path / "plain"), alone) > 5e-3, "the past has no say"


def test_a_streaming_model_is_not_scored_by_several_processes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapstack.engine.streaming.get_world_size", lambda: 2)
    config.work_dir = str(Path(config.filename).parent)
    config.visualizer = None
    with pytest.raises(ConfigError, match="runs on one process"):
        build_runner(config).test()


def test_a_model_that_does_not_stream_goes_through_the_same_door(config: Config) -> None:
    config.model.temporal = None
    model = MODELS.build(config.model).eval()
    dataset = DATASETS.build(config.test_dataloader.dataset)
    batch = {"inputs": {"points": [dataset[0]["inputs"]["points"]]}, "data_samples": [dataset[0]["data_samples"]]}
    with torch.no_grad():
        samples, state = predict_next(model, batch, None)
    assert state is None and len(samples[0].pred) == 5
