"""A model, data and a config small enough to train for seconds: the engine does not care what it trains."""

import json
import os
import signal
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mapstack.registry import DATASETS, HOOKS, METRICS, MODELS

CONFIG = """
_base_ = ["{base}/schedules/adamw_cosine.py", "{base}/runtime/default.py"]
custom_imports = dict(imports=["tests.engine.toy"])
model = dict(type="ToyModel")
data = dict(type="ToyDataset", size=11)
train_dataloader = dict(batch_size=2, num_workers=0, dataset=data, sampler=dict(type="ResumableSampler"))
val_dataloader = dict(batch_size=4, dataset=data, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type="ToyMetric")
test_evaluator = val_evaluator
train_cfg = dict(max_iters=24, val_interval=7)
default_hooks = dict(checkpoint=dict(interval=4), logger=dict(interval=6))
custom_hooks = [*_base_.custom_hooks, dict(type="KillHook")]
"""


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Noise that depends on (index, seed), as MapDataset's augmentation does."""

    def __init__(self, size: int, bad_from: int | None = None) -> None:
        self.size = size
        self.bad_from = bad_from
        self.metainfo = {"classes": ("a", "b")}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, item: int | tuple[int, int]) -> dict:
        index, seed = item if isinstance(item, tuple) else (item, 0)
        x = torch.randn(8, generator=torch.Generator().manual_seed(1000 * index + seed % 997))
        if self.bad_from is not None and index >= self.bad_from:
            x[0] = torch.nan
        return {"inputs": x, "data_samples": Frame(f"frame-{index}")}


class Frame:
    """Has a token, as a data sample has."""

    def __init__(self, token: str) -> None:
        self.token = token

    def to_dict(self) -> dict:
        return {"token": self.token}


@MODELS.register_module()
class ToyModel(BaseModel):
    """Dropout draws from PyTorch's generator, batch norm keeps state outside of the optimizer."""

    def __init__(self, width: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 8)
        )

    def forward(self, inputs: list[Tensor], data_samples: list, mode: str = "tensor") -> dict | list | Tensor:
        x = torch.stack(list(inputs))
        out = self.net(x)
        if mode == "loss":
            return {"loss_noise": (out - x + 0.1 * torch.rand_like(x)).square().mean()}
        return (
            [{"error": float((a - b).abs().mean())} for a, b in zip(out, x, strict=True)] if mode == "predict" else out
        )


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean error; draws a random number to see that validation leaves no trace."""

    default_prefix = "toy"

    def __init__(self, out_dir: str | None = None) -> None:
        super().__init__()
        self.out_dir = out_dir

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        torch.rand(3)
        self.results += [sample["error"] for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        score = 1.0 / (1.0 + sum(results))
        if self.out_dir is not None:
            (Path(self.out_dir) / "metrics.json").write_text(json.dumps({"toy/mAP": score, "result": {}}))
        return {"mAP": score}


@HOOKS.register_module()
class KillHook(Hook):
    """Kills its own process as ``kill -9`` does, at a moment that TOY_KILL names: ``iter:10``, ``save:12``, ``val:14``.

    ``write`` kills with half of the checkpoint on the disk, ``save`` when it is complete but not yet named.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.moment, _, number = os.environ.get("TOY_KILL", ":0").partition(":")
        self.number = int(number)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.moment == "iter" and batch_idx == self.number:
            self.kill()

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        if self.moment == "val" and runner.iter == self.number:
            self.kill()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner.iter + 1 != self.number:
            return
        if self.moment == "write":
            LocalBackend.put = lambda backend, data, path: (Path(path).write_bytes(data[: len(data) // 2]), self.kill())
        if self.moment == "save":
            os.replace = lambda source, target: self.kill()

    @staticmethod
    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def write_config(folder: Path, extra: str = "", name: str = "toy.py") -> Path:
    """A config in ``folder``; ``extra`` is Python that comes after the toy's own."""
    base = Path(__file__).parents[2] / "configs/_base_"
    path = folder / name
    path.write_text(CONFIG.format(base=base) + extra)
    return path
