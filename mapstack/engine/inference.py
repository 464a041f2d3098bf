"""A trained model on frames that need no truth: what the tools infer and export share."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from mapstack.engine.checkpoints import load_weights
from mapstack.errors import ConfigError
from mapstack.registry import DATASETS, MODELS
from mapstack.structures import MapDataSample

__all__ = ["build_dataset", "build_trained_model", "predict"]


def build_trained_model(cfg: Config, checkpoint: str | Path, device: str = "cpu") -> nn.Module:
    """The model of a checked config with the checkpoint's weights, in eval mode."""
    model = MODELS.build(copy.deepcopy(cfg.model))
    load_weights(model, checkpoint)
    return model.eval().to(device)


def build_dataset(
    cfg: Config,
    ann_file: str | Path | None = None,
    data_root: str | None = None,
    *,
    with_truth: bool = True,
    cameras: Sequence[str] | None = None,
) -> BaseDataset:
    """The test frames of a config, or those of another index through the same pipeline.

    Args:
        cfg: a checked config.
        ann_file: an index to read instead of the config's.
        data_root: folder of its files, where it is not the one that the index names.
        with_truth: False lets frames without a map pass, which then have no ``gt``.
        cameras: load these instead of the config's; none at all takes every frame's own.
    """
    if cfg.get("test_dataloader") is None:
        raise ConfigError(f"{cfg.filename} has no test_dataloader, whose pipeline is wanted")
    section = copy.deepcopy(cfg.test_dataloader.dataset)
    if ann_file is not None:
        section.ann_file, section.data_root = str(ann_file), data_root
    for transform in section.pipeline:
        kind = transform["type"].rpartition(".")[2]
        if kind == "VectorizeMap" and not with_truth:
            transform["optional"] = True
        if kind == "LoadImages" and cameras is not None:
            transform["cameras"] = tuple(cameras) or None
    return DATASETS.build(section)


def predict(model: nn.Module, frames: Sequence[dict]) -> list[MapDataSample]:
    """Run packed frames as one batch; every sample comes back with ``pred``, best score first."""
    with torch.no_grad():
        return model.test_step(pseudo_collate(list(frames)))
