"""Hooks: checkpoints that survive a kill and carry the random state, and a stop at the first non-finite loss."""

from pathlib import Path

import torch
from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor

from mapstack.engine import random_state
from mapstack.engine.checkpoints import PARTIAL_SUFFIX, latest_checkpoint, numbered_checkpoints
from mapstack.errors import ConfigError, TrainingDiverged
from mapstack.registry import HOOKS

__all__ = ["AtomicCheckpointHook", "FiniteLossHook"]

RANDOM_STATES = "random_states"


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's hook by iterations, with every rank's random state, and old files removed only after the new one.

    The file itself is written by :class:`~mapstack.engine.runner.MapRunner`, under another name until it is complete.

    Args:
        interval: save every so many iterations, and after the last one.
        keep_last: how many of the newest to keep; None keeps all.
        save_best: metric key whose best checkpoint is kept besides; None keeps none.
        rule: ``greater`` or ``less`` is better, where the key does not tell.
    """

    def __init__(
        self, interval: int, keep_last: int | None = 2, save_best: str | None = None, rule: str | None = None
    ) -> None:
        super().__init__(interval=interval, by_epoch=False, save_best=save_best, rule=rule)
        if keep_last is not None and keep_last < 1:
            raise ConfigError(f"keep_last is {keep_last}; a run needs one checkpoint at least to be resumed from")
        self.keep_last = keep_last
        self._random_states: list[dict] = []

    def before_train(self, runner: Runner) -> None:
        """Clear what a killed run left half-written.

        Raises:
            ConfigError: another run's checkpoints lie in the work directory, or the interval cuts a gradient
                accumulation in two.
        """
        found = latest_checkpoint(runner.work_dir)
        if found and not runner.resuming:
            raise ConfigError(f"{found} is of an earlier run: go on with --resume, or choose another --work-dir")
        steps = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        if self.interval % steps:
            raise ConfigError(
                f"checkpoint interval {self.interval} is no multiple of accumulative_counts {steps}, and gradients "
                f"gathered so far would be lost on resume; choose {-(-self.interval // steps) * steps}"
            )
        self.out_dir = str(self.out_dir or runner.work_dir)
        self.file_backend = get_file_backend(self.out_dir)
        self.best_ckpt_path = runner.message_hub.runtime_info.get("best_ckpt")
        if is_main_process():
            for partial in Path(self.out_dir).glob(f"*{PARTIAL_SUFFIX}"):
                partial.unlink()

    def before_val(self, runner: Runner) -> None:
        """Remember the random state: a checkpoint saved for its metric must not carry validation's."""
        self._random_states = all_gather_object(random_state.capture())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the random states beside the weights."""
        checkpoint[RANDOM_STATES] = self._random_states

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Hand this rank's random state to the loop, when the run is resumed and not only started from weights.

        Raises:
            ConfigError: bare weights cannot be resumed from, and another seed would order the data anew.
        """
        if not runner.resuming:
            return
        if "meta" not in checkpoint:
            raise ConfigError("only weights are in the checkpoint: start from it with load_from, without --resume")
        if checkpoint["meta"].get("seed") != runner.seed:
            raise ConfigError(f"the run had seed {checkpoint['meta'].get('seed')}, not {runner.seed}; set --seed")
        states = checkpoint.get(RANDOM_STATES, [])
        if len(states) > get_rank():
            runner.train_loop.resumed_random_state = states[get_rank()]
        else:
            runner.logger.warning("The checkpoint has no random state for this rank; its random numbers start anew.")

    def _save_checkpoint(self, runner: Runner) -> None:
        self._random_states = all_gather_object(random_state.capture())  # every rank takes part
        super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, and only then delete older ones: at every moment a complete checkpoint exists."""
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / filename)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(self.out_dir, filename, meta=meta, by_epoch=False)
        if is_main_process() and self.keep_last is not None:
            for _, path in numbered_checkpoints(self.out_dir)[: -self.keep_last]:
                path.unlink()


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first loss that is NaN or infinite, before a checkpoint of the spoilt weights is written."""

    priority = "VERY_HIGH"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        """Look at each loss of the iteration.

        Raises:
            TrainingDiverged: naming the losses, the frames, and what to do.
        """
        losses = {name: torch.as_tensor(value) for name, value in (outputs or {}).items() if "loss" in name}
        bad = {name: float(value) for name, value in losses.items() if not torch.isfinite(value).all()}
        if not bad:
            return
        samples = (data_batch or {}).get("data_samples", ())
        tokens = ", ".join(str(getattr(sample, "token", "?")) for sample in samples) or "unknown"
        raise TrainingDiverged(
            f"iteration {runner.iter + 1}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; "
            f"frames {tokens}. Lower optim_wrapper.optimizer.lr or tighten clip_grad, and --resume from the last "
            f"checkpoint in {runner.work_dir}"
        )
