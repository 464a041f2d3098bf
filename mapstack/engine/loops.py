"""An iteration-based training loop that a killed run can continue bit for bit."""

from collections.abc import Iterator

from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mapstack.engine import random_state
from mapstack.errors import ConfigError
from mapstack.registry import LOOPS

__all__ = ["ResumableTrainLoop"]


@LOOPS.register_module()
class ResumableTrainLoop(BaseLoop):
    """Train for ``max_iters`` iterations; the place in the data is the iteration, and validation leaves no trace.

    MMEngine's ``IterBasedTrainLoop`` loads and drops every batch it has trained on before it goes on, and its
    validation moves the random generators, so that a resumed run differs from an uninterrupted one.

    Args:
        runner: the runner.
        dataloader: training data; its sampler must know ``set_start``, as ``ResumableSampler`` does.
        max_iters: iterations in all.
        val_interval: validate every so many iterations, and after the last one.
        val_begin: do not validate before this iteration.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_interval: int = 1000,
        val_begin: int = 1,
    ) -> None:
        super().__init__(runner, dataloader)
        if not hasattr(self.dataloader.sampler, "set_start"):
            raise ConfigError(
                f"train_dataloader.sampler is {type(self.dataloader.sampler).__name__}, from which a run cannot be "
                f"resumed; set it to dict(type='ResumableSampler')"
            )
        self.max_iters, self.val_interval, self.val_begin = max_iters, val_interval, val_begin
        self.max_epochs = 1  # MMEngine's hooks see iteration-based training as one long epoch
        self.stop_training = False
        # The random state to continue with, set by AtomicCheckpointHook on resume.
        self.resumed_random_state: dict | None = None
        self._epoch = 0
        self._iter = 0
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, "metainfo", None)

    @property
    def epoch(self) -> int:
        """Always 0; MMEngine's runner asks for it."""
        return self._epoch

    @property
    def iter(self) -> int:
        """Iterations that have been trained; the runner sets it on resume."""
        return self._iter

    def run(self) -> nn.Module:
        """Train to the end and return the model."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter > 0 and self._validation_due():  # the run was killed before or in it
            self._validate()
        batches = self._batches()
        while self._iter < self.max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            if self._validation_due():
                self._validate()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: dict) -> None:
        """One forward, backward and optimizer step, between MMEngine's hooks."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _batches(self) -> Iterator[dict]:
        """The data from where the run stands. Making a DataLoader's iterator draws a number, so states follow it."""
        self.dataloader.sampler.set_start(self._iter * self.dataloader.batch_size)
        batches = iter(self.dataloader)
        if self.resumed_random_state is not None:
            random_state.restore(self.resumed_random_state)
            self.resumed_random_state = None
        return batches

    def _validation_due(self) -> bool:
        on_time = self._iter % self.val_interval == 0 or self._iter == self.max_iters
        return self.runner.val_loop is not None and self._iter >= self.val_begin and on_time

    def _validate(self) -> None:
        with random_state.preserved():
            self.runner.val_loop.run()
