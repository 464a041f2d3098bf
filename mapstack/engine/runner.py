"""MMEngine's Runner, with atomic checkpoints, safe resuming, a short start-up log, and processes without GPUs."""

import copy
import itertools
import os
from pathlib import Path

import torch
from mmengine import Config
from mmengine.dist import is_distributed, master_only
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mapstack import __version__
from mapstack.engine.checkpoints import PARTIAL_SUFFIX, latest_checkpoint, load_weights, publish
from mapstack.engine.config_check import accepted_keys
from mapstack.errors import ConfigError
from mapstack.registry import METRICS, RUNNERS

__all__ = ["MapRunner", "build_runner", "enable_amp", "evaluate_checkpoint"]

_run_numbers = itertools.count()


@RUNNERS.register_module()
class MapRunner(Runner):
    """What mapstack's tools run; configured as MMEngine's ``Runner``."""

    @property
    def resuming(self) -> bool:
        """Whether this run goes on with another one's optimizer, random state and place in the data."""
        return self._resume

    def setup_env(self, env_cfg: dict) -> None:
        """As MMEngine, which starts processes only on accelerators; here gloo joins them on a CPU too."""
        if self.distributed and not torch.cuda.is_available() and not is_distributed():
            if self.launcher != "pytorch":
                raise ConfigError(
                    f"launcher {self.launcher!r} needs GPUs; on CPUs start with torchrun, --launcher pytorch"
                )
            torch.distributed.init_process_group("gloo")
        super().setup_env(env_cfg)

    def set_randomness(self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
        """As MMEngine; without a GPU always deterministic, which costs nothing there.

        On several CPU threads the gradient of ``x[index]`` adds up in any order otherwise. An operation that has no
        deterministic form warns. On a GPU ask for it with ``randomness.deterministic``.
        """
        super().set_randomness(seed, diff_rank_seed, deterministic)
        if not torch.cuda.is_available():
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """As MMEngine, whose default wrapper asks for a GPU."""
        if self.distributed and not torch.cuda.is_available() and model_wrapper_cfg is None:
            unused = self.cfg.get("find_unused_parameters", False)
            return MMDistributedDataParallel(module=model, broadcast_buffers=False, find_unused_parameters=unused)
        return super().wrap_model(model_wrapper_cfg, model)

    def build_param_scheduler(self, scheduler: dict | list) -> list | dict:
        """As MMEngine; a schedule by iterations that states no ``end`` ends with the training."""
        for item in scheduler if isinstance(scheduler, list) else [scheduler]:
            if isinstance(item, dict) and item.get("by_epoch") is False and "end" not in item:
                item["end"] = max(self.max_iters, item.get("begin", 0) + 1)
        return super().build_param_scheduler(scheduler)

    def load_or_resume(self) -> None:
        """Resume from the newest checkpoint in the work directory, else from ``load_from``; or load weights only."""
        if self._has_loaded:
            return
        if not self.resuming:
            super().load_or_resume()
            return
        # What a run saved itself comes first: ``load_from`` is where it began.
        path = latest_checkpoint(self.work_dir) or self._load_from
        if path is None:
            self.logger.info(f"Nothing to resume in {self.work_dir}; training starts from the beginning.")
            return
        self.resume(str(path))

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: object) -> None:
        """As MMEngine; the file gets its name once all of it is on the disk."""
        partial = filename + PARTIAL_SUFFIX
        super().save_checkpoint(out_dir, partial, **kwargs)
        publish(Path(out_dir) / partial, Path(out_dir) / filename)

    def get_hooks_info(self) -> str:
        """The hooks' names in their order, in place of MMEngine's hundred lines."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """Three lines in place of MMEngine's two hundred, whose collection starts compilers and takes seconds."""
        device = (
            torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        )
        self.logger.info(f"mapstack {__version__}, torch {torch.__version__}, {device}, {self.world_size} process(es)")
        self.logger.info(f"config {self.cfg.filename}, seed {self.seed}, work directory {self.work_dir}")


def build_runner(cfg: Config) -> MapRunner:
    """Make the runner that a checked config describes; it builds model and hooks, and reads no data yet."""
    os.makedirs(cfg.work_dir, exist_ok=True)
    if cfg.get("experiment_name") is None:
        # MMEngine shares logger, scalars and curves among runs of one name, and tells them apart by the second only.
        cfg = copy.deepcopy(cfg)
        cfg.experiment_name = f"{Path(cfg.filename or 'run').stem}_{next(_run_numbers)}"
    return MapRunner.from_cfg(cfg)


def enable_amp(cfg: Config, dtype: str) -> None:
    """Set the optimizer wrapper of ``cfg`` to mixed precision in ``bfloat16`` (any device) or ``float16`` (GPU)."""
    if dtype == "float16" and not torch.cuda.is_available():
        raise ConfigError("float16 training needs a GPU; bfloat16 works on a CPU too")
    cfg.optim_wrapper.type = "AutocastOptimWrapper" if dtype == "bfloat16" else "AmpOptimWrapper"


def evaluate_checkpoint(cfg: Config, checkpoint: str | Path, out_dir: str | Path) -> dict[str, float]:
    """Score ``checkpoint`` on the test frames of ``cfg``; its metrics write their files below ``out_dir``.

    The first metric writes to ``out_dir`` itself, each further one to a folder named by its protocol.

    Raises:
        ConfigError: the config has no test data.
        DataError: the checkpoint is not of this config's model.
    """
    if cfg.get("test_dataloader") is None:
        raise ConfigError(f"{cfg.filename} has no test_dataloader")
    out_dir = Path(out_dir)
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    for i, evaluator in enumerate(evaluators):
        folder = out_dir / evaluator.get("protocol", str(i)) if i else out_dir
        folder.mkdir(parents=True, exist_ok=True)
        if "out_dir" in (accepted_keys(METRICS.get(evaluator["type"])) or ()):
            evaluator["out_dir"] = str(folder)
    cfg.work_dir = str(out_dir / "log")
    cfg.visualizer = None
    cfg.resume, cfg.load_from = False, None
    cfg.custom_hooks = []  # what they do belongs to training; the averaged weights are the checkpoint's already
    for section in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        cfg[section] = None
    for section in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg[section] = None
    runner = build_runner(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    load_weights(model, checkpoint)
    return runner.test()
