"""A trained model on frames that need no truth: what the tools infer and export share."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from mmengine import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from mapstack.engine.checkpoints import load_weights
from mapstack.engine.streaming import predict_next
from mapstack.errors import ConfigError
from mapstack.registry import DATASETS, MODELS
from mapstack.structures import MapDataSample

__all__ = ["build_dataset", "build_trained_model", "predict_in_order"]


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


def predict_in_order(model: nn.Module, frames: Iterable[dict]) -> Iterator[MapDataSample]:
    """Run packed frames one after the other; every sample comes back with ``pred``, best score first.

    A model that streams remembers the frames of a drive that came before, so they must come in order.
    """
    state = None
    for frame in frames:
        with torch.no_grad():
            (sample,), state = predict_next(model, pseudo_collate([frame]), state)
        yield sample
