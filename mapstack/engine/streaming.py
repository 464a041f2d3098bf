"""Validation and testing in the order of the drives: the state travels from batch to batch in the loop."""

import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, TestLoop, ValLoop
from mmengine.runner.amp import autocast
from torch import nn
from torch.utils.data import DataLoader

from mapstack.errors import ConfigError
from mapstack.registry import LOOPS

__all__ = ["StreamTestLoop", "StreamValLoop", "predict_next"]


def predict_next(model: nn.Module, data: dict, state: object | None) -> tuple[list, object | None]:
    """Predict a batch that may continue the one that ``state`` came from.

    Args:
        model: one whose ``streams`` is True takes and returns state; any other looks at each frame alone.
        data: what the data loader gives.
        state: returned for the batch before, None at the beginning.

    Returns:
        The samples with ``pred``, and the state for the next batch.
    """
    bare = model.module if is_model_wrapper(model) else model
    if getattr(bare, "streams", False):
        return bare.stream(data, state)
    return model.test_step(data), None


class _StreamMixin:
    """Replaces MMEngine's step by one that carries the state."""

    stage: str

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, evaluator: Evaluator | dict | list, fp16: bool = False
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if get_world_size() > 1:
            raise ConfigError(
                f"{type(self).__name__} runs on one process: a drive's frames must come one after the other, and "
                f"MMEngine deals them out to all; test alone, and train with val_cfg=None, val_dataloader=None, "
                f"val_evaluator=None"
            )
        self._state: object | None = None

    def run(self) -> dict[str, float]:
        """Go through the drives once and score."""
        self._state = None
        metrics = super().run()
        self._state = None  # a BEV map's memory is better spent on training
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict one batch between MMEngine's hooks."""
        self.runner.call_hook(f"before_{self.stage}_iter", batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs, self._state = predict_next(self.runner.model, data_batch, self._state)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(f"after_{self.stage}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)


@LOOPS.register_module()
class StreamValLoop(_StreamMixin, ValLoop):
    """MMEngine's ``ValLoop`` for models that stream; the data loader must not shuffle."""

    stage = "val"


@LOOPS.register_module()
class StreamTestLoop(_StreamMixin, TestLoop):
    """MMEngine's ``TestLoop`` for models that stream; the data loader must not shuffle."""

    stage = "test"
