"""Tell a localisation model where its training data lies."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mapstack.errors import ConfigError
from mapstack.registry import HOOKS

__all__ = ["PoseStatisticsHook"]


@HOOKS.register_module()
class PoseStatisticsHook(Hook):
    """Hand the training data's mean and spread of places to the model, which keeps them with its weights.

    Weights that are loaded or resumed bring their own, and those count.
    """

    priority = "VERY_HIGH"  # before EMAHook copies the model

    def before_run(self, runner: Runner) -> None:
        """Set the model's buffers before training; a test has no training data, and its checkpoint holds them."""
        if runner.train_loop is None or isinstance(runner.train_loop, dict):
            return
        meta = runner.train_dataloader.dataset.metainfo
        if "pose_origin" not in meta:
            raise ConfigError("PoseStatisticsHook needs a PoseDataset as train_dataloader.dataset")
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.set_statistics(meta["pose_origin"], meta["pose_scale_m"])
